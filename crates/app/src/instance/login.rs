//! Makes the settings of the sign-in from the configuration.

use std::sync::Arc;

use sekisho_issuer::login::upstream::{LoginParts, ProviderParts};
use sekisho_protocol::redirect::RedirectUri;

use crate::config::Configuration;
use crate::config::login::LoginProvider;
use crate::error::CommandError;
use crate::reach;

/// Passwords, the providers with their secrets, and the way to them.
pub(crate) fn login_parts(
    configuration: &Configuration,
    base_url: &str,
    extra_ca: Option<Vec<u8>>,
) -> Result<LoginParts, CommandError> {
    let login = &configuration.login;
    let providers = login.provider.iter().map(|provider| provider_parts(provider, base_url));
    let providers = providers.collect::<Result<Vec<_>, _>>()?;
    let http = reach::named(configuration, extra_ca)?;
    Ok(LoginParts { passwords: login.passwords, providers, http: Some(Arc::new(http)) })
}

/// One provider, with the client that is registered there for this checkpoint.
pub(crate) fn provider_parts(provider: &LoginProvider, base_url: &str) -> Result<ProviderParts, CommandError> {
    let wrong = |message: String, help: String| {
        CommandError::usage(format!("the login provider `{}`: {message}", provider.name), help)
    };
    let registration = provider.registration(base_url).map_err(|unusable| wrong(unusable.message, unusable.help))?;
    let name = provider.name.parse().map_err(|error| wrong(format!("{error}"), "see `sekisho check`".to_owned()))?;
    let redirect = RedirectUri::parse(&provider.redirect_uri(base_url));
    let redirect_uri = redirect.map_err(|error| wrong(error.to_string(), "see `base_url`".to_owned()))?;
    let row = provider.profile.row();
    Ok(ProviderParts {
        name,
        label: provider.label.clone().unwrap_or_else(|| row.label.to_owned()),
        registration,
        redirect_uri,
        scopes: provider.scope_set(),
        algorithm: provider.id_token_algorithm,
        audiences: provider.audiences.clone(),
        named_by: provider.named_by().into_iter().map(str::to_owned).collect(),
        require: provider.require.clone(),
        rules: provider.rules(),
        groups_cut_at: row.groups_cut_at,
        overage: provider.member_groups.clone().or_else(|| row.overage.map(str::to_owned)),
        prompt: provider.prompt.clone(),
        max_age_seconds: provider.max_age_seconds,
        acr_values: provider.acr_values.clone(),
        acr_required: provider.acr_required,
        logout_ends_grants: provider.logout_ends_grants,
        sign_out_there: provider.sign_out_there,
        signed_out_uri: provider.signed_out_uri(base_url),
    })
}
