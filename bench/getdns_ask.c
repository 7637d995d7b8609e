/* SPDX-License-Identifier: Apache-2.0 */

/* The other peer of libattest's look-ups: getdns in process, a stub over DNS over TLS with the
 * resolver's pin, which believes what the resolver says: with a private anchor its own validation
 * ends in time-outs (doc/decisions/0013). getdns_ask PORT PIN-HEX ROUNDS NAME... prints a line of
 * JSON per round. */

#include "asks.h"

#include <getdns/getdns.h>
#include <getdns/getdns_extra.h>
#include <string.h>

static getdns_return_t set_resolver(getdns_context *ctx, uint32_t port, uint8_t pin[32])
{
	getdns_bindata addr = { 4, (uint8_t[]){ 127, 0, 0, 1 } }, type = { 4, (uint8_t *)"IPv4" };
	getdns_bindata value = { 32, pin };
	getdns_dict *one = getdns_dict_create(), *pair = getdns_dict_create();
	getdns_list *pins = getdns_list_create(), *all = getdns_list_create();
	getdns_return_t r = GETDNS_RETURN_GENERIC_ERROR;

	if (one && pair && pins && all) {
		getdns_bindata digest = { 6, (uint8_t *)"sha256" };

		r = getdns_dict_set_bindata(pair, "digest", &digest);
		r |= getdns_dict_set_bindata(pair, "value", &value);
		r |= getdns_list_set_dict(pins, 0, pair);
		r |= getdns_dict_set_bindata(one, "address_type", &type);
		r |= getdns_dict_set_bindata(one, "address_data", &addr);
		r |= getdns_dict_set_int(one, "tls_port", port);
		r |= getdns_dict_set_list(one, "tls_pubkey_pinset", pins);
		r |= getdns_list_set_dict(all, 0, one);
		r |= getdns_context_set_upstream_recursive_servers(ctx, all);
	}
	getdns_dict_destroy(pair);
	getdns_dict_destroy(one);
	getdns_list_destroy(pins);
	getdns_list_destroy(all);
	return r;
}

static void round_of(getdns_context *ctx, char **names, size_t n, uint64_t *took)
{
	size_t good = 0;

	for (size_t i = 0; i < n; i++) {
		getdns_dict *response = NULL;
		uint32_t status = 0, rcode = 1;
		uint64_t began = now_ns();

		if (getdns_general_sync(ctx, names[i], GETDNS_RRTYPE_CERT, NULL, &response) ==
				GETDNS_RETURN_GOOD &&
			getdns_dict_get_int(response, "status", &status) == GETDNS_RETURN_GOOD &&
			getdns_dict_get_int(response, "/replies_tree/0/header/rcode", &rcode) ==
				GETDNS_RETURN_GOOD)
			good += status == GETDNS_RESPSTATUS_GOOD && rcode == 0;
		took[i] = now_ns() - began;
		getdns_dict_destroy(response);
	}
	print_round(took, n, good);
}

int main(int argc, char **argv)
{
	getdns_transport_list_t tls = GETDNS_TRANSPORT_TLS;
	uint64_t *took = calloc((size_t)argc, sizeof(*took));
	getdns_context *ctx = NULL;
	uint8_t pin[32];

	if (argc < 5 || !took || strlen(argv[2]) != 64 ||
		getdns_context_create(&ctx, 0) != GETDNS_RETURN_GOOD)
		return 2;
	for (size_t i = 0; i < 32; i++) {
		char two[3] = { argv[2][2 * i], argv[2][2 * i + 1], '\0' };

		pin[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	if (getdns_context_set_resolution_type(ctx, GETDNS_RESOLUTION_STUB) ||
		getdns_context_set_dns_transport_list(ctx, 1, &tls) ||
		getdns_context_set_tls_authentication(ctx, GETDNS_AUTHENTICATION_REQUIRED) ||
		getdns_context_set_idle_timeout(ctx, 60000) ||
		set_resolver(ctx, (uint32_t)strtoul(argv[1], NULL, 10), pin))
		return 3;
	for (int i = argv[3][0] - '0'; i > 0; i--)
		round_of(ctx, argv + 4, (size_t)argc - 4, took);
	getdns_context_destroy(ctx);
	free(took);
	return 0;
}
