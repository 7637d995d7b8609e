/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The socket between the supervisor and one role: control.proto messages, one
 * per packet of a SOCK_SEQPACKET pair, so that a descriptor and the message it
 * belongs to cannot come apart. Never carries a client's bytes. */

#include "base/diag.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_FD  3	  /* where a role finds its end */
#define CONTROL_MAX 16384 /* bytes of one message: names and numbers only */

/* A connected pair, close-on-exec, non-blocking. */
enum rc control_pair(int out[2]) ATT_MUST_CHECK;

/* Sends one message with `pass_fd` (borrowed; -1: none). RC_BUSY: the other side does not read.
 * RC_CLOSED, RC_TOO_LARGE, RC_IO. */
enum rc control_send(int fd, const ProtobufCMessage *message, int pass_fd) ATT_MUST_CHECK;

/* Reads one message. *pass_fd is the descriptor that came along, the caller's to close, or -1.
 * RC_BUSY: none waits. RC_CLOSED; RC_MALFORMED: too long, or more than one descriptor. */
enum rc control_receive(
	int fd, uint8_t bytes[CONTROL_MAX], size_t *len, int *pass_fd) ATT_MUST_CHECK;
