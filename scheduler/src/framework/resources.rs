//! Amounts of resources as whole numbers: milli-CPUs, bytes, counts.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A bundle of amounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU in thousandths.
    pub milli_cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Local storage in bytes.
    pub ephemeral_storage: i64,
    /// How many pods; only of nodes.
    pub pods: i64,
    /// Everything else by name.
    pub scalar: BTreeMap<String, i64>,
}

/// A list of amounts as objects carry it.
pub type Amounts = BTreeMap<String, Quantity>;

impl Resources {
    /// Reads a list such as a node's allocatable. An unreadable quantity counts as zero: the
    /// api-server admits none.
    pub fn of(amounts: &Amounts) -> Self {
        let mut out = Self::default();
        for (name, quantity) in amounts {
            match name.as_str() {
                "cpu" => out.milli_cpu = millis(quantity),
                "memory" => out.memory = units(quantity),
                "ephemeral-storage" => out.ephemeral_storage = units(quantity),
                "pods" => out.pods = units(quantity),
                _ => {
                    out.scalar.insert(name.clone(), units(quantity));
                }
            }
        }
        out
    }

    /// Whether nothing but `pods` is asked for.
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0
            && self.memory == 0
            && self.ephemeral_storage == 0
            && self.scalar.values().all(|v| *v == 0)
    }

    /// Adds every amount of `other` but `pods`.
    pub fn add(&mut self, other: &Self) {
        self.merge(other, i64::saturating_add);
    }

    /// Takes every amount of `other` but `pods` away.
    pub fn subtract(&mut self, other: &Self) {
        self.merge(other, i64::saturating_sub);
    }

    /// Takes every amount of `other` but `pods` that is greater.
    pub fn raise_to(&mut self, other: &Self) {
        self.merge(other, i64::max);
    }

    fn merge(&mut self, other: &Self, f: fn(i64, i64) -> i64) {
        self.milli_cpu = f(self.milli_cpu, other.milli_cpu);
        self.memory = f(self.memory, other.memory);
        self.ephemeral_storage = f(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalar {
            let mine = self.scalar.entry(name.clone()).or_default();
            *mine = f(*mine, *amount);
        }
    }
}

/// `quantity` in thousandths, rounded up. An unreadable one is zero: the api-server admits none.
pub fn millis(quantity: &Quantity) -> i64 {
    quantity
        .0
        .parse::<api_meta::quantity::Quantity>()
        .map_or(0, |q| q.millis())
}

/// `quantity` in whole units, rounded up.
pub fn units(quantity: &Quantity) -> i64 {
    quantity
        .0
        .parse::<api_meta::quantity::Quantity>()
        .map_or(0, |q| q.units())
}
