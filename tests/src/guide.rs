//! A guide as a program: its `sh` blocks are run in one shell, in order, and each `text` block
//! holds words that the block before it prints.

use anyhow::{Context as _, Result, ensure};

/// What the shell prints before each block's output.
const MARK: &str = "@@@@ block";

/// A block of commands and what it must print.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    /// The commands.
    pub commands: String,
    /// Words that stand in its output, a line each.
    pub printed: Vec<String>,
}

/// The blocks of a guide, in order.
///
/// # Errors
/// A block does not end, or nothing is run before a `text` block.
pub fn blocks(guide: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let mut body = Vec::new();
        loop {
            match lines.next().context("a block does not end")? {
                "```" => break,
                line => body.push(line.to_owned()),
            }
        }
        match kind {
            "sh" => blocks.push(Block {
                commands: body.join("\n"),
                printed: Vec::new(),
            }),
            "text" => {
                let last = blocks.last_mut();
                last.context("nothing is run before it")?.printed = body;
            }
            _ => {}
        }
    }
    Ok(blocks)
}

/// One script of all blocks, which ends at the first command that fails.
pub fn script(blocks: &[Block]) -> String {
    let mut script = "set -eu\nexec 2>&1\n".to_owned();
    for (number, block) in blocks.iter().enumerate() {
        script.push_str(&format!("echo '{MARK} {number}'\n{}\n", block.commands));
    }
    script
}

/// Checks what such a script printed.
///
/// # Errors
/// The first words that are missing, or a block that was not reached, with what was printed.
pub fn check(blocks: &[Block], output: &str) -> Result<()> {
    for (number, block) in blocks.iter().enumerate() {
        let begin = format!("{MARK} {number}\n");
        let (_, rest) = output
            .split_once(&begin)
            .with_context(|| format!("block {number} was not reached:\n{output}"))?;
        let own = rest.split(MARK).next().unwrap_or_default();
        for words in &block.printed {
            ensure!(
                own.contains(words.as_str()),
                "block {number} prints no {words:?}:\n{own}"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_run_in_order_and_held_against_what_they_print() {
        let guide = "# A\n```\nnot run\n```\n```sh\necho one\n```\nsaid:\n```text\none\n```\n```sh\nx=2; echo $x\n```\n";
        let found = blocks(guide).unwrap();
        assert_eq!(found.len(), 2);
        let output = std::process::Command::new("sh")
            .args(["-c", &script(&found)])
            .output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        check(&found, &output).unwrap();
        let mut other = found.clone();
        other[1].printed = vec!["one".to_owned()];
        let error = check(&other, &output).unwrap_err().to_string();
        assert!(error.contains("block 1 prints no \"one\""), "{error}");
        other[0].commands = "false".to_owned();
        let output = std::process::Command::new("sh")
            .args(["-c", &script(&other)])
            .output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(check(&other, &output).is_err());
        assert!(blocks("```sh\n").is_err() && blocks("```text\n```\n").is_err());
    }
}
