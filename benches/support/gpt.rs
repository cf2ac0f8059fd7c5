//! A small decoder-only transformer, of tensor operations: pre-norm blocks, causal attention, gelu.

use kiln::graph::Result;
use kiln::prelude::*;

/// Sizes of the model.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) vocabulary: usize,
    pub(crate) context: usize,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) blocks: usize,
}

/// The weights.
pub(crate) struct Gpt {
    sizes: Sizes,
    tokens: Variable,
    positions: Variable,
    blocks: Vec<Block>,
    norm: [Variable; 2],
    head: Variable,
}

struct Block {
    attention_norm: [Variable; 2],
    qkv: [Variable; 2],
    project: [Variable; 2],
    mlp_norm: [Variable; 2],
    up: [Variable; 2],
    down: [Variable; 2],
}

/// Makes weights: normal with deviation 0.02, the same every time.
struct Maker(u64);

impl Maker {
    fn weight(&mut self, shape: &[usize]) -> Result<Variable> {
        self.0 += 1;
        let key = Tensor::from_slice(&kiln::graph::random_key(7, self.0));
        Variable::new(&(Tensor::random_normal(&key, shape) * 0.02))
    }

    fn dense(&mut self, inputs: usize, outputs: usize) -> Result<[Variable; 2]> {
        Ok([self.weight(&[inputs, outputs])?, self.weight(&[outputs])?])
    }

    fn norm(&mut self, width: usize) -> Result<[Variable; 2]> {
        Ok([Variable::new(&Tensor::ones(&[width]))?, Variable::new(&Tensor::zeros(&[width]))?])
    }
}

fn dense(x: &Tensor, [kernel, bias]: &[Variable; 2]) -> Tensor {
    x.matmul(&kernel.read()) + bias.read()
}

fn layer_norm(x: &Tensor, [scale, offset]: &[Variable; 2]) -> Tensor {
    x.normalize_moments(-1, 1e-5) * scale.read() + offset.read()
}

fn gelu(x: &Tensor) -> Tensor {
    x * 0.5 * ((x * std::f32::consts::FRAC_1_SQRT_2).erf() + 1.0)
}

impl Gpt {
    pub(crate) fn new(sizes: Sizes) -> Result<Gpt> {
        let (width, mut make) = (sizes.width, Maker(0));
        let mut blocks = vec![];
        for _ in 0..sizes.blocks {
            blocks.push(Block {
                attention_norm: make.norm(width)?,
                qkv: make.dense(width, 3 * width)?,
                project: make.dense(width, width)?,
                mlp_norm: make.norm(width)?,
                up: make.dense(width, 4 * width)?,
                down: make.dense(4 * width, width)?,
            });
        }
        Ok(Gpt {
            sizes,
            tokens: make.weight(&[sizes.vocabulary, width])?,
            positions: make.weight(&[sizes.context, width])?,
            blocks,
            norm: make.norm(width)?,
            head: make.weight(&[width, sizes.vocabulary])?,
        })
    }

    /// Logits `[batch, time, vocabulary]` of tokens `[batch, time]`.
    pub(crate) fn logits(&self, tokens: &Tensor) -> Tensor {
        let time = tokens.shape()[1] as i64;
        let mut x = self.tokens.read().take(tokens, 0) + self.positions.read().slice_axis(0, 0, time);
        for block in &self.blocks {
            x = &x + self.attention(&layer_norm(&x, &block.attention_norm), block);
            x = &x + dense(&gelu(&dense(&layer_norm(&x, &block.mlp_norm), &block.up)), &block.down);
        }
        layer_norm(&x, &self.norm).matmul(&self.head.read())
    }

    fn attention(&self, x: &Tensor, block: &Block) -> Tensor {
        let (batch, time, heads) = (x.shape()[0] as i64, x.shape()[1], self.sizes.heads as i64);
        let size = self.sizes.width as i64 / heads;
        // [batch, time, 3, heads, size] → three of [batch, heads, time, size]
        let split =
            dense(x, &block.qkv).reshape(&[batch, time as i64, 3, heads, size]).transpose(&[2, 0, 3, 1, 4]);
        let part = |i: i64| split.slice_axis(0, i, i + 1).squeeze(0);
        let (q, k, v) = (part(0), part(1), part(2));
        let scores = q.matmul(&k.transpose(&[0, 1, 3, 2])) * (1.0 / (size as f32).sqrt());
        let at = |axis: usize| Tensor::iota(&[time, time], axis);
        let seen = at(0).greater_equal(at(1));
        let weights = Tensor::select(&seen, &scores, -1e30).softmax(-1);
        let mixed = weights.matmul(&v).transpose(&[0, 2, 1, 3]).reshape(&[batch, time as i64, heads * size]);
        dense(&mixed, &block.project)
    }
}
