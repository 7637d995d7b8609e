#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# A registrar's own library, Net::EPP as Debian has it, walks a profile through its whole life:
# epp_life.pl HOST PORT CA CERT KEY ID PASSWORD  CERT2 KEY2 ID2 PASSWORD2  NAME CLAIM SERVICE SERVICE2
use strict;
use warnings;
use Net::EPP::Client;
use Net::EPP::Frame;
use IO::Socket::SSL;

my ($host, $port, $ca, $cert, $key, $id, $pw, $cert2, $key2, $id2, $pw2, $name, $claim, $service, $service2) = @ARGV;
my $NS = 'urn:attestry:params:xml:ns:profile-1.0';
my @objects = map { "urn:attestry:params:xml:ns:$_-1.0" } qw(device profile service);
my @extensions = ('urn:ietf:params:xml:ns:changePoll-1.0', 'urn:ietf:params:xml:ns:epp:secure-authinfo-transfer-1.0');

sub open_session {
	my ($cert, $key, $id, $pw) = @_;
	my $epp = Net::EPP::Client->new(host => $host, port => $port, ssl => 1, frames => 1);
	my $greeting = $epp->connect(SSL_ca_file => $ca, SSL_cert_file => $cert, SSL_key_file => $key,
		SSL_verify_mode => SSL_VERIFY_PEER, SSL_verifycn_name => 'localhost', SSL_verifycn_scheme => 'http');
	bless($greeting, 'Net::EPP::Frame::Greeting');
	$greeting->svID->textContent or die 'not a greeting: ' . $greeting->toString;
	my $login = Net::EPP::Frame::Command::Login->new;
	$login->clID->appendText($id);
	$login->pw->appendText($pw);
	$login->version->appendText('1.0');
	$login->lang->appendText('en');
	for my $uri (@objects) {
		my $e = $login->createElement('objURI');
		$e->appendText($uri);
		$login->svcs->appendChild($e);
	}
	my $ext = $login->createElement('svcExtension');
	for my $uri (@extensions) {
		my $e = $login->createElement('extURI');
		$e->appendText($uri);
		$ext->appendChild($e);
	}
	$login->svcs->appendChild($ext);
	expect($epp, $login, 1000);
	return $epp;
}

sub expect {
	my ($epp, $frame, $code) = @_;
	$frame->clTRID->appendText('PERL-' . int(rand(1e9))) if $frame->can('clTRID');
	my $answer = $epp->request($frame);
	bless($answer, 'Net::EPP::Frame::Response');
	$answer->code == $code or die $frame->toString . "\nwanted $code, not:\n" . $answer->toString;
	$answer->clTRID->textContent eq $frame->clTRID->textContent or die 'clTRID';
	return $answer;
}

# One command of our mapping: ('update', 'chg' => [ state => 'activated' ])
sub command {
	my ($verb, @parts) = @_;
	my $class = 'Net::EPP::Frame::Command::' . ucfirst($verb);
	my $frame = $class->new;
	my $cmd = $frame->getCommandNode;
	my $object = $frame->createElement("profile:$verb");
	$object->setNamespace($NS, 'profile', 1);
	add($frame, $object, name => $name, @parts);
	$cmd->appendChild($object);
	return $frame;
}

sub add {
	my ($frame, $parent, @parts) = @_;
	while (my ($n, $v) = splice(@parts, 0, 2)) {
		my $e = $frame->createElement("profile:$n");
		ref($v) ? add($frame, $e, @$v) : $e->appendText($v);
		$parent->appendChild($e);
	}
}

sub text {
	my ($answer, $tag) = @_;
	my ($e) = $answer->getElementsByTagNameNS($NS, $tag);
	return $e ? $e->textContent : '';
}

sub message {
	my ($epp) = @_;
	for (1 .. 600) {
		my $poll = Net::EPP::Frame::Command::Poll::Req->new;
		$poll->clTRID->appendText('PERL-POLL');
		my $answer = bless($epp->request($poll), 'Net::EPP::Frame::Response');
		if ($answer->code == 1301) {
			my $ack = Net::EPP::Frame::Command::Poll::Ack->new;
			my ($q) = $answer->getElementsByTagName('msgQ');
			$ack->setMsgID($q->getAttribute('id'));
			expect($epp, $ack, 1000);
			return $answer;
		}
		select(undef, undef, undef, 0.05);
	}
	die 'no message';
}

my $a = open_session($cert, $key, $id, $pw);
my $b = open_session($cert2, $key2, $id2, $pw2);
expect($a, command('check'), 1000);
expect($a, command('create', service => $service, claim => $claim, authInfo => [ pw => '' ]), 1000);
expect($a, command('update', chg => [ state => 'activated' ]), 1001);
my $told = message($a);
$told->toString =~ /panData/ or die 'no panData: ' . $told->toString;
my $info = expect($a, command('info'), 1000);
text($info, 'der') or die 'no certificate';
expect($a, command('renew', curExpDate => '2001-01-01T00:00:00Z'), 2306);
expect($a, command('update', chg => [ state => 'deactivated' ]), 1000);
expect($a, command('update', chg => [ state => 'activated' ]), 1000);
expect($a, command('update', chg => [ authInfo => [ pw => 'Perl/c0de-with.20,characters' ] ]), 1000);
my $move = command('transfer', service => $service2, authInfo => [ pw => 'Perl/c0de-with.20,characters' ]);
my ($verb) = $move->getElementsByTagName('transfer');
$verb->setAttribute('op', 'request');
text(expect($b, $move, 1000), 'trStatus') eq 'serverApproved' or die 'trStatus';
my $seen = 0;
$seen++ until message($a)->toString =~ /transferred to/ || $seen > 20;
$seen > 20 and die 'the loser was not told';
expect($a, command('info'), 2201);
text(expect($b, command('info'), 1000), 'clID') eq $id2 or die 'clID';
expect($b, command('delete'), 1000);
expect($b, command('info'), 2303);
expect($_, Net::EPP::Frame::Command::Logout->new, 1500) for ($a, $b);
print "whole life\n";
