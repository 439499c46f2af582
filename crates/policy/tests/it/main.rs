//! The policy through its public face: against a second, naive implementation, and by files of rules.

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod world;
