//! Writes the man page and the completions of bash, zsh and fish: `cargo run --example command_line -- FOLDER`.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use safespace::arguments::Arguments;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args().nth(1).ok_or("usage: command_line FOLDER")?);
    fs::create_dir_all(&folder)?;
    Man::new(Arguments::command()).render(&mut File::create(folder.join("safespace.1"))?)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "safespace", &folder)?;
    }
    Ok(())
}
