//! Pictures of real texts, where these are: they are other people's, and are not kept here. And what reading costs.

#[cfg(test)]
mod growth;
#[cfg(test)]
mod real;
