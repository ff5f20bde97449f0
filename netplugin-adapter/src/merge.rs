//! One service's entries to flows: where the endpoint's own entry goes.
//!
//! Netplugin records both directions under the source address. What a provider sent back is under the provider, what
//! the endpoint sent is under the endpoint, and for which provider is not recorded. With one provider there is no
//! doubt, and the two are one flow. With more, the endpoint's entry becomes a flow with the service's address as its
//! provider: a copy to each would be summed by whoever sums, a share by proportion would be a guess.
//!
//! All four counters of the own entry follow that rule, its *In* too although it is nearly always 0: then the sum over
//! the flows is the sum over the entries for every counter.

use crate::stats::{Counters, Flow};

/// Adds the endpoint's `own` entry to the flows of its providers.
///
/// `providers` is sorted by address without duplicates, and so is the result. The error names the counter whose sum
/// leaves 64 bits.
pub(crate) fn merge(
    service_ip: &str,
    own: Option<Counters>,
    mut providers: Vec<Flow>,
) -> Result<Vec<Flow>, &'static str> {
    let Some(own) = own else { return Ok(providers) };
    if let [only] = providers.as_mut_slice() {
        only.counters = only.counters.plus(own)?;
        return Ok(providers);
    }
    match providers.binary_search_by(|flow| (*flow.provider_ip).cmp(service_ip)) {
        // A provider under the service's own address: a second flow of that name would be the same pair twice.
        Ok(at) => providers[at].counters = providers[at].counters.plus(own)?,
        Err(at) => providers.insert(at, Flow { provider_ip: service_ip.into(), counters: own }),
    }
    Ok(providers)
}
