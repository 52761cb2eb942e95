//! Amounts of resources as whole numbers. An unreadable one is zero: the api-server admits none.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// `quantity` in thousandths, rounded up.
pub(crate) fn millis(quantity: &Quantity) -> i64 {
    quantity
        .0
        .parse::<api_meta::quantity::Quantity>()
        .map_or(0, |q| q.millis())
}

/// `quantity` in whole units, rounded up.
pub(crate) fn units(quantity: &Quantity) -> i64 {
    quantity
        .0
        .parse::<api_meta::quantity::Quantity>()
        .map_or(0, |q| q.units())
}
