//! The warning of many traces where no logger listens.

use std::process::Command;

use kiln_graph::{Device, Function, Tensor, with_device};

/// Set for the process that traces often.
const CHILD: &str = "KILN_TEST_TRACES_OFTEN";

#[test]
fn many_traces_are_said_once_without_a_logger() {
    if std::env::var_os(CHILD).is_some() {
        let f = Function::new("many", |x| Ok(vec![&x[0] + 1.0]));
        with_device(&Device::cpu(), || {
            for n in 1..70 {
                f.prepare(&[Tensor::zeros(&[n])]).expect("compiles");
            }
        });
        return;
    }
    let test = std::env::current_exe().expect("this program");
    let output = Command::new(test)
        .args(["--exact", "warnings::many_traces_are_said_once_without_a_logger", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("runs");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("[function]")).collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert!(
        warnings[0].contains("it has been traced 32 times") && warnings[0].contains("warnings.rs:"),
        "{said}"
    );
}
