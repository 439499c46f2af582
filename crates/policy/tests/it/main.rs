//! The policy through its public interface: compared with a second, naive implementation, by policy files, and decision
//! by decision.

#[cfg(test)]
mod arguments;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod lending;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod oracle_uris;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod spellings;
#[cfg(test)]
mod world;
