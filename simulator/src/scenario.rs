//! Sizes: how many tenants and rows each scenario has.
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// For tests: 12 tenants, 2 thousand main rows.
    Tiny,
    /// For a laptop: 60 tenants, 200 thousand main rows, seeded within a minute.
    Small,
    /// 250 tenants, 500 thousand main rows.
    Medium,
    /// 1,200 tenants, 1.5 million main rows.
    Large,
    /// 5,000 tenants, 4 million main rows.
    Stress,
}

impl Scenario {
    /// Number of tenants.
    pub fn tenants(self) -> usize {
        match self {
            Scenario::Tiny => 12,
            Scenario::Small => 60,
            Scenario::Medium => 250,
            Scenario::Large => 1_200,
            Scenario::Stress => 5_000,
        }
    }

    /// Number of main rows (contacts, customers, sales facts ÷ 4); other tables are multiples of it.
    pub fn main_rows(self) -> u64 {
        match self {
            Scenario::Tiny => 2_000,
            Scenario::Small => 200_000,
            Scenario::Medium => 500_000,
            Scenario::Large => 1_500_000,
            Scenario::Stress => 4_000_000,
        }
    }

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Tiny => "tiny",
            Scenario::Small => "small",
            Scenario::Medium => "medium",
            Scenario::Large => "large",
            Scenario::Stress => "stress",
        }
    }
}
