#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# A small SMS centre on Net::SMPP, an implementation of its own, in front of attestry-sim.
# smsc.pl SOCKET PASSWORD ICCID-HEX=MSISDN...   prints "port N", then a line for all that happens.
# Every 7th submit_sm is throttled; after the 9th, the connection is cut. SIGUSR1: messages are kept (the
# SIM is off), and at the next one delivered; SIGUSR2: those that are kept are given up.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use Net::SMPP;

$| = 1;
$Net::SMPP::trace = 0;
my ($path, $password, @map) = @ARGV;
my %iccid = map { my ($i, $m) = split /=/; ($m => pack("H*", $i)) } @map;
my %msisdn = map { $iccid{$_} => $_ } keys %iccid;
my $listen = Net::SMPP->new_listen("127.0.0.1", port => 0, smpp_version => 0x34, async => 1) or die "listen: $!";
print "port ", $listen->sockport, "\n";
my $air = IO::Socket::UNIX->new(Peer => $path) or die "air: $!";
my ($submits, $rest) = (0, "");
my ($peer, $hold, $lose, @held);
$SIG{USR1} = sub { $hold = !$hold; print "hold ", $hold ? "on" : "off", "\n" };
$SIG{USR2} = sub { $lose = 1 };

sub receipt {
	my ($id, $from, $what) = @_;
	$peer->deliver_sm(source_addr => $from, destination_addr => "4711", esm_class => 0x04,
		short_message => "id:$id sub:001 dlvrd:001 stat:$what err:000 text:", async => 1) if $peer;
}

sub to_card {
	my ($id, $number, $ud) = @_;
	my $body = "\x01" . $iccid{$number} . $ud;
	syswrite($air, pack("n", length $body) . $body);
	receipt($id, $number, "DELIVRD");
}

while (1) {
	if ($lose) {
		receipt($_->[0], $_->[1], "UNDELIV") for @held;
		print "lost ", scalar @held, "\n";
		(@held, $lose) = ();
	}
	if (!$hold && @held) {
		to_card(@$_) for @held;
		@held = ();
	}
	my $select = IO::Select->new($air, $listen, $peer ? ($peer) : ());
	for my $s ($select->can_read) {
		if ($s == $listen) {
			$peer = $listen->accept or die "accept: $!";
		} elsif ($s == $air) {
			my $n = sysread($air, $rest, 65536, length $rest);
			exit 0 unless $n;
			while (length $rest >= 2 && length $rest >= 2 + unpack("n", $rest)) {
				my $frame = substr($rest, 0, 2 + unpack("n", $rest), "");
				my $from = $msisdn{substr($frame, 3, 10)};
				next unless $peer && $from;
				$peer->deliver_sm(source_addr => $from, source_addr_ton => 1, source_addr_npi => 1,
					destination_addr => "4711", esm_class => 0x40, protocol_id => 0x7f, data_coding => 0xf6,
					short_message => substr($frame, 13), async => 1);
			}
		} elsif ($peer && $s == $peer) {
			my $pdu = $peer->read_pdu;
			if (!$pdu) {
				print "closed\n";
				undef $peer;
				next;
			}
			my $cmd = $pdu->{cmd};
			if ($cmd == 0x9) {
				my $ok = $pdu->{password} eq $password;
				print "bind $pdu->{system_id} ", ($ok ? "ok" : "refused"), "\n";
				$peer->bind_transceiver_resp(seq => $pdu->{seq}, system_id => "smsc", status => $ok ? 0 : 0x0e);
			} elsif ($cmd == 0x4) {
				$submits++;
				my $throttle = $submits % 7 == 0;
				printf "submit to=%s from=%s esm=%02x pid=%02x dcs=%02x bytes=%d%s\n", @$pdu{qw(destination_addr source_addr)},
					@$pdu{qw(esm_class protocol_id data_coding)}, length $pdu->{short_message}, $throttle ? " throttled" : "";
				$peer->submit_sm_resp(seq => $pdu->{seq}, message_id => "m$submits", status => $throttle ? 0x58 : 0);
				my @one = ("m$submits", $pdu->{destination_addr}, $pdu->{short_message});
				if (!$throttle && $iccid{$one[1]}) {
					$hold ? push @held, \@one : to_card(@one);
				}
				if ($submits == 9) {
					print "cut\n";
					close $peer;
					undef $peer;
				}
			} elsif ($cmd == 0x15) {
				print "enquire\n";
				$peer->enquire_link_resp(seq => $pdu->{seq});
			} elsif ($cmd == 0x6) {
				$peer->unbind_resp(seq => $pdu->{seq});
			}
		}
	}
}
