//! The store through its public face: every statement on both databases, races, losses, and going around it.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod companies;
#[cfg(test)]
mod down;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod external_grants;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod flows;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod links;
#[cfg(test)]
mod loans;
#[cfg(test)]
mod nested;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod people;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod races;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod sealing;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod step_ups;
#[cfg(test)]
mod sweeping;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod things;
