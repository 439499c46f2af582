//! Pictures of real texts, where these are: they are other people's, and are not kept here.

#[cfg(test)]
mod real;
