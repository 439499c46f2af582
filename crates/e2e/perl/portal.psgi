# The portal of LemonLDAP::NG from Debian's packages, without a web server in front of it. `LLNG_FOLDER` has its configuration
# (`conf/lmConf-1.json`). Run it with `plackup`.
use strict;
use warnings;
use Plack::App::File;
use Plack::Builder;
use Lemonldap::NG::Portal::Main;

# The portal loads what draws captchas even where none is shown, and that draws with packages that it does not depend on.
package Lemonldap::NG::Portal::Captcha::None {
    use Mouse;
    extends 'Lemonldap::NG::Portal::Main::Plugin';
    sub init { 1 }
    $INC{'Lemonldap/NG/Portal/Captcha/None.pm'} = __FILE__;
}

my $folder = $ENV{LLNG_FOLDER} or die 'LLNG_FOLDER is not set';
my $shared = '/usr/share/lemonldap-ng/portal';
my $portal = Lemonldap::NG::Portal::Main->run(
    {
        configStorage       => { type => 'File', dirName => "$folder/conf" },
        localSessionStorage => '',
        templateDir         => "$shared/templates",
        staticPrefix        => '/static',
        languages           => 'en',
        logLevel            => 'warn',
        logger              => 'Lemonldap::NG::Common::Logger::Std',
        userLogger          => 'Lemonldap::NG::Common::Logger::Std',
    }
);
builder {
    mount '/static' => Plack::App::File->new( root => "$shared/htdocs/static" )->to_app;
    mount '/javascript' => Plack::App::File->new( root => '/usr/share/javascript' )->to_app;
    mount '/'       => $portal;
};
