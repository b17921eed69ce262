#!/usr/bin/perl
# Signs a message with Perl's Mail::DKIM.
#
# usage: mail_dkim_sign.pl KEY.pem DOMAIN SELECTOR METHOD < MESSAGE
#
# The key is RSA in PEM, PKCS#1. METHOD is what c= is to be, as relaxed/simple. The message
# comes with CRLF line ends. Prints the DKIM-Signature field with CRLF line ends.

use strict;
use warnings;

use Mail::DKIM::PrivateKey;
use Mail::DKIM::Signer;

my ( $key_path, $domain, $selector, $method ) = @ARGV;
defined $method or die "usage: mail_dkim_sign.pl KEY.pem DOMAIN SELECTOR METHOD < MESSAGE\n";

my $signer = Mail::DKIM::Signer->new(
    Algorithm => 'rsa-sha256',
    Method    => $method,
    Domain    => $domain,
    Selector  => $selector,
    Key       => Mail::DKIM::PrivateKey->load( File => $key_path ),
);
binmode STDIN;
while ( my $line = <STDIN> ) {
    $signer->PRINT($line);
}
$signer->CLOSE;
binmode STDOUT;
my $field = $signer->signature->as_string;
$field =~ s/\r?\n/\r\n/g;
print "$field\r\n";
