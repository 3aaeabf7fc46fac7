//! The directory of contexts: `contexts/NAME.yaml`, and `current-context` with a name.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use paasta_common::{id::ContextName, text, typo};
use paasta_process::{atomic_file, private};

use super::{CONTEXTS_MAX, Context, ContextError, file};
use crate::key::{self, FileError};

/// The mode of every file.
const MODE: u32 = 0o600;
/// The longest file of a current context that is read, in bytes: a name and a line's end.
const CURRENT_BYTES_MAX: usize = 128;
/// How much of a wrong one is shown, in characters.
const SHOWN_MAX: usize = 40;

/// The directory in which this process's user keeps what `paasta` needs: `paasta` below
/// `XDG_CONFIG_HOME`, else below `HOME/.config`. None where neither variable is an absolute path.
pub fn user_directory() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let home = || Some(absolute("HOME")?.join(".config"));
    let config = absolute("XDG_CONFIG_HOME").or_else(home)?;
    Some(config.join("paasta"))
}

/// The contexts of a user.
#[derive(Debug, Clone)]
pub struct Contexts {
    directory: PathBuf,
}

impl Contexts {
    /// The contexts of this process's user, below [`user_directory`].
    ///
    /// # Errors
    /// [`ContextError::NoHome`].
    pub fn of_user() -> Result<Self, ContextError> {
        user_directory().map(Self::at).ok_or(ContextError::NoHome)
    }

    /// The contexts below another directory.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The file of a context, whether it is there or not.
    #[must_use]
    pub fn path(&self, name: &ContextName) -> PathBuf {
        self.contexts().join(format!("{name}.yaml"))
    }

    /// The names of all contexts, sorted. None without the directory. A file whose name is no
    /// context's is passed over.
    ///
    /// # Errors
    /// The directory cannot be read, or has too many.
    pub fn list(&self) -> Result<Vec<ContextName>, ContextError> {
        let directory = self.contexts();
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed(&directory, "read"))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed(&directory, "read"))?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".yaml"));
            names.extend(name.and_then(|name| ContextName::new(name).ok()));
            if names.len() > CONTEXTS_MAX {
                return Err(ContextError::TooMany(directory));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads a context.
    ///
    /// # Errors
    /// It does not exist, other users can read its file, or its text is wrong.
    pub fn load(&self, name: &ContextName) -> Result<Context, ContextError> {
        let path = self.path(name);
        let bytes = match key::read_context(&path) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(self.absent(name));
            }
            read => read?,
        };
        let shown = path.display().to_string();
        file::parse(&shown, &String::from_utf8_lossy(&bytes)).map_err(ContextError::Text)
    }

    /// Writes a context, whole or not at all, for its owner only; an earlier one of that name is
    /// replaced. Returns its file.
    ///
    /// # Errors
    /// The directory cannot be made, or the file not be written; an earlier one is as it was.
    pub fn save(&self, name: &ContextName, context: &Context) -> Result<PathBuf, ContextError> {
        let path = self.path(name);
        self.make()?;
        let new = !path.exists();
        if new && self.list()?.len() >= CONTEXTS_MAX {
            return Err(ContextError::TooMany(self.contexts()));
        }
        // An equal file is left alone, with its mode.
        if !new {
            private::tighten(&path, &[]).map_err(failed(&path, "written"))?;
        }
        atomic_file::write(&path, file::print(context).as_bytes(), MODE)?;
        Ok(path)
    }

    /// Writes a context, and makes it the current one unless there is one. Returns its file.
    ///
    /// # Errors
    /// As [`Contexts::save`] and [`Contexts::select`].
    pub fn add(&self, name: &ContextName, context: &Context) -> Result<PathBuf, ContextError> {
        let path = self.save(name, context)?;
        if self.current()?.is_none() {
            self.select(name)?;
        }
        Ok(path)
    }

    /// Removes a context; if it is the current one, there is none after that.
    ///
    /// # Errors
    /// It does not exist, or cannot be removed.
    pub fn remove(&self, name: &ContextName) -> Result<(), ContextError> {
        let path = self.path(name);
        if !path.exists() {
            return Err(self.absent(name));
        }
        // First the reference: a current context that does not exist would be an error.
        if self.current().ok().flatten().as_ref() == Some(name) {
            let current = self.current_file();
            fs::remove_file(&current).map_err(failed(&current, "removed"))?;
        }
        fs::remove_file(&path).map_err(failed(&path, "removed"))
    }

    /// The current context: what is used where none is named. It may have been removed by hand.
    ///
    /// # Errors
    /// The file that names it cannot be read, or holds something else.
    pub fn current(&self) -> Result<Option<ContextName>, ContextError> {
        let path = self.current_file();
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(failed(&path, "read"))?,
        };
        let wrong = |text: &[u8]| ContextError::Current {
            path: path.clone(),
            found: format!(
                "{:?}",
                text::shortened(&String::from_utf8_lossy(text), SHOWN_MAX)
            ),
        };
        if text.len() > CURRENT_BYTES_MAX {
            return Err(wrong(&text[..CURRENT_BYTES_MAX]));
        }
        let name = String::from_utf8_lossy(&text);
        match ContextName::new(name.trim()) {
            Ok(name) => Ok(Some(name)),
            Err(_) => Err(wrong(&text)),
        }
    }

    /// Makes a context the current one.
    ///
    /// # Errors
    /// It does not exist, or the file that names it cannot be written.
    pub fn select(&self, name: &ContextName) -> Result<(), ContextError> {
        if !self.path(name).exists() {
            return Err(self.absent(name));
        }
        self.make()?;
        atomic_file::write(&self.current_file(), format!("{name}\n").as_bytes(), MODE)?;
        Ok(())
    }

    fn make(&self) -> Result<(), ContextError> {
        for directory in [&self.directory, &self.contexts()] {
            private::directory(directory).map_err(failed(directory, "made"))?;
        }
        Ok(())
    }

    fn contexts(&self) -> PathBuf {
        self.directory.join("contexts")
    }

    fn current_file(&self) -> PathBuf {
        self.directory.join("current-context")
    }

    fn absent(&self, name: &ContextName) -> ContextError {
        let known = self.list().unwrap_or_default();
        let known = known.iter().map(ContextName::as_str);
        ContextError::Absent {
            name: name.clone(),
            path: self.path(name),
            hint: typo::did_you_mean(name.as_str(), known),
        }
    }
}

fn failed(path: &Path, act: &'static str) -> impl FnOnce(io::Error) -> ContextError {
    let path = path.to_owned();
    move |source| ContextError::Directory { path, act, source }
}
