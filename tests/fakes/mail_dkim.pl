#!/usr/bin/perl
# Verifies messages with Perl's Mail::DKIM, without DNS.
#
# usage: mail_dkim.pl RECORDS.json MESSAGE...
#
# RECORDS.json maps owner names to TXT strings. The messages are files with CRLF
# line ends. Prints a JSON list with a list for each message, which has one object
# per DKIM-Signature field, in the order of the fields: result (RFC 8601 words),
# domain, selector, detail.
#
# Mail::DKIM's own resolver hook is used, so that its record parser and its
# checks of the record run as they would in production.

use strict;
use warnings;

use JSON::PP;
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;
use Net::DNS;

package TableResolver;

sub new {
    my ( $class, $records ) = @_;
    return bless { records => $records }, $class;
}

# What Mail::DKIM::DNS::query asks of a Net::DNS::Resolver: send and errorstring.
sub send {
    my ( $self, $name, $type ) = @_;
    my $packet = Net::DNS::Packet->new( $name, $type );
    my $text   = $self->{records}->{ lc $name };
    $packet->header->qr(1);
    if ( !defined $text ) {
        $packet->header->rcode('NXDOMAIN');
        return $packet;
    }
    my @strings = $text =~ /(.{1,255})/gs;
    $packet->push(
        answer => Net::DNS::RR->new(
            name    => $name,
            type    => 'TXT',
            ttl     => 60,
            txtdata => \@strings,
        )
    );
    return $packet;
}

sub errorstring { return 'NOERROR' }

package main;

my ( $records_path, @message_paths ) = @ARGV;
@message_paths or die "usage: mail_dkim.pl RECORDS.json MESSAGE...\n";
open my $records_file, '<:raw', $records_path or die "$records_path: $!\n";
my $records = decode_json( do { local $/; <$records_file> } );
close $records_file;
Mail::DKIM::DNS::resolver( TableResolver->new($records) );

sub text_of { return defined $_[0] ? "$_[0]" : q{} }

sub verdicts_of {
    my ($path) = @_;
    open my $message, '<:raw', $path or die "$path: $!\n";
    my $verifier = Mail::DKIM::Verifier->new;
    while ( my $line = <$message> ) {
        $verifier->PRINT($line);
    }
    $verifier->CLOSE;
    close $message;
    return [
        map {
            {
                result   => text_of( $_->result ),
                domain   => text_of( $_->domain ),
                selector => text_of( $_->selector ),
                detail   => text_of( $_->result_detail ),
            }
        } $verifier->signatures
    ];
}

print JSON::PP->new->canonical->ascii->encode( [ map { verdicts_of($_) } @message_paths ] ), "\n";
