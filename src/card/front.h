/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stands between cards and the world in the simulator, on one event loop: a modem on a
 * pseudo-terminal, a socket for raw APDUs, a socket for short messages. Each answers garbage with
 * an error or a closed connection, and holds a bounded number of bytes for a peer that does not
 * read. */

#include "card/at.h"
#include "card/euicc.h"

#include <event2/event.h>

/* One card on the event loop. */
struct front_modem;
struct front_socket;
struct front_sms;
struct front_euicc;
struct front_vpcd;

/* A pty whose slave is reached by the symbolic link `path` (replaced when it is one already;
 * RC_EXISTS when it is something else). */
enum rc front_modem_new(struct event_base *base, struct euicc *euicc, const char *path,
	const struct at_manners *manners, const struct log *log, struct front_modem **out,
	struct diag *d) ATT_MUST_CHECK;
void front_modem_free(struct front_modem *modem);

/* A unix stream socket: u16 length | APDU in, u16 length | response out; every connection has its
 * own logical channels. */
enum rc front_socket_new(struct event_base *base, struct euicc *euicc, const char *path,
	const struct log *log, struct front_socket **out, struct diag *d) ATT_MUST_CHECK;
void front_socket_free(struct front_socket *s);

/* The operator's side: frames of ota/smslink.h, for all cards that are enabled. `euiccs` is
 * borrowed.
 */
enum rc front_sms_new(struct event_base *base, struct euicc *const *euiccs, size_t count,
	const char *path, const struct log *log, struct front_sms **out,
	struct diag *d) ATT_MUST_CHECK;
void front_sms_free(struct front_sms *s);

/* Orders to the eUICCs and events from them: u16 length | a JSON object, both ways (doc/card.md).
 */
enum rc front_euicc_new(struct event_base *base, struct euicc *const *euiccs, size_t count,
	const char *path, const struct log *log, struct front_euicc **out,
	struct diag *d) ATT_MUST_CHECK;
void front_euicc_free(struct front_euicc *f);
/* Tells everyone who is connected. */
void front_euicc_event(
	struct front_euicc *f, const struct euicc *euicc, const struct euicc_event *event);

/* The card in the virtual reader of a pcscd (vsmartcard-vpcd) at `address` (host:port): connects,
 * and connects again when the daemon goes. */
enum rc front_vpcd_new(struct event_base *base, struct euicc *euicc, const char *address,
	const struct log *log, struct front_vpcd **out, struct diag *d) ATT_MUST_CHECK;
void front_vpcd_free(struct front_vpcd *v);

/* A listening unix socket at `path`, 0600, in place of a stale one. RC_EXISTS: something else is
 * there. The descriptor is non-blocking. */
enum rc front__listen(const char *path, int *fd, struct diag *d) ATT_MUST_CHECK;
