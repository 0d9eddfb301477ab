//! The parts of IndexPilot that can be switched off one by one, and sets of them.
//!
//! A set is 32 bits so that a hook can ask "am I on?" with one load and one test.

use serde::{Deserialize, Serialize};

/// Something that can be switched off by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Module {
    /// Counting statements, fields and tenants in the hooks.
    Capture,
    /// Finding and pricing recommendations.
    Advisor,
    /// Carrying out actions in the background worker.
    Worker,
    /// Recording users' DDL in the history.
    Lineage,
    /// Keeping the catalogue of fields and who uses them.
    Genome,
    /// The feature of building indexes by itself.
    CreateIndex,
    /// The feature of dropping indexes by itself.
    DropIndex,
    /// The feature of rebuilding indexes by itself.
    Reindex,
}

/// Modules and features, in the order in which they are shown.
pub const MODULES: [Module; 8] = [
    Module::Capture,
    Module::Advisor,
    Module::Worker,
    Module::Lineage,
    Module::Genome,
    Module::CreateIndex,
    Module::DropIndex,
    Module::Reindex,
];

impl Module {
    /// The name that settings and functions use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Module::Capture => "capture",
            Module::Advisor => "advisor",
            Module::Worker => "worker",
            Module::Lineage => "lineage",
            Module::Genome => "genome",
            Module::CreateIndex => "create_index",
            Module::DropIndex => "drop_index",
            Module::Reindex => "reindex",
        }
    }

    /// The module of that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        MODULES
            .into_iter()
            .find(|module| module.name().eq_ignore_ascii_case(name))
    }

    /// Whether this is one action that has a setting with stages, not a module of its own.
    #[must_use]
    pub fn is_feature(self) -> bool {
        matches!(
            self,
            Module::CreateIndex | Module::DropIndex | Module::Reindex
        )
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModuleSet(u32);

impl ModuleSet {
    /// No module.
    pub const NONE: ModuleSet = ModuleSet(0);
    /// Every module, also those that a later version adds.
    pub const ALL: ModuleSet = ModuleSet(u32::MAX);

    /// The set of these bits, as [`ModuleSet::bits`] gave them.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        ModuleSet(bits)
    }

    /// The set as bits, for shared memory.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether a module is in it.
    #[must_use]
    pub const fn contains(self, module: Module) -> bool {
        self.0 & module.bit() != 0
    }

    /// The set with a module added.
    #[must_use]
    pub const fn with(self, module: Module) -> Self {
        ModuleSet(self.0 | module.bit())
    }

    /// The set with a module taken away.
    #[must_use]
    pub const fn without(self, module: Module) -> Self {
        ModuleSet(self.0 & !module.bit())
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        ModuleSet(self.0 | other.0)
    }
}

impl FromIterator<Module> for ModuleSet {
    fn from_iter<I: IntoIterator<Item = Module>>(modules: I) -> Self {
        modules.into_iter().fold(Self::NONE, ModuleSet::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_bits_are_distinct() {
        let mut seen = ModuleSet::NONE;
        for module in MODULES {
            assert_eq!(Module::from_name(module.name()), Some(module));
            assert!(!seen.contains(module));
            seen = seen.with(module);
        }
        assert_eq!(seen.bits().count_ones() as usize, MODULES.len());
        assert_eq!(Module::from_name("everything"), None);
    }

    #[test]
    fn taking_away_undoes_adding() {
        let set: ModuleSet = [Module::Capture, Module::Worker].into_iter().collect();
        assert!(set.contains(Module::Worker));
        assert!(!set.without(Module::Worker).contains(Module::Worker));
        assert!(ModuleSet::ALL.contains(Module::Reindex));
    }
}
