/* SPDX-License-Identifier: Apache-2.0 */
#include "http/api.h"

#include "base/compiler.h"

/* method, path, op, body, query, private, ok, traits, help */
const struct api_route api_routes[] = {
	{ "POST", "/v1/parties", "party_create", "", NULL, NULL, 201, 0,
		"create a party and sign its login certificate" },
	{ "GET", "/v1/parties", "party_list", NULL, "after,limit", NULL, 200, 0, "list parties" },
	{ "GET", "/v1/party", "party_info", NULL, NULL, NULL, 200, 0, "who am I" },
	{ "GET", "/v1/parties/{id}", "party_info", NULL, NULL, NULL, 200, 0, "one party" },

	{ "POST", "/v1/services", "service_create", "service", NULL, "created,wifi_sealed", 201,
		API_WIFI, "create a service" },
	{ "GET", "/v1/services", "service_list", NULL, "after,limit", NULL, 200, 0,
		"list services" },
	{ "GET", "/v1/services/{handle}", "service_info", NULL, NULL, NULL, 200, 0, "one service" },
	{ "PATCH", "/v1/services/{handle}", "service_update", "service", NULL,
		"asp,created,wifi_sealed", 200, API_WIFI | API_MERGE,
		"change a service; null clears a member" },

	{ "POST", "/v1/inventory", "inventory_load", "", NULL, NULL, 200, API_BIG,
		"load SIMs with hashed claim codes" },
	{ "GET", "/v1/devices", "device_list", NULL, "after,limit", NULL, 200, 0, "list devices" },
	{ "GET", "/v1/devices/{iccid}", "device_info", NULL, NULL, NULL, 200, 0, "one device" },
	{ "PATCH", "/v1/devices/{iccid}", "device_update", "", NULL, NULL, 200, 0,
		"owner, locks, flags, consents, the next operator" },
	{ "POST", "/v1/devices/{iccid}/auth", "device_set_auth", "", NULL, NULL, 200, 0,
		"make a code with which another operator takes the device over; shown once" },
	{ "POST", "/v1/devices/{iccid}/transfer", "device_transfer", "", NULL, NULL, 200, 0,
		"take a device over with a new SIM" },
	{ "POST", "/v1/devices/{iccid}/event", "device_event", "", NULL, NULL, 200, 0,
		"what the eSIM's manager says: enabled, disabled, deleted" },

	{ "POST", "/v1/profiles", "profile_register", "", NULL, NULL, 201, 0,
		"register a profile" },
	{ "GET", "/v1/profiles", "profile_list", NULL, "after,limit,service", NULL, 200, 0,
		"list profiles" },
	{ "GET", "/v1/profiles/{name}", "profile_info", NULL, NULL, NULL, 200, 0, "one profile" },
	{ "DELETE", "/v1/profiles/{name}", "profile_delete", NULL, NULL, NULL, 200, 0,
		"delete a profile and destroy its key" },
	{ "POST", "/v1/profiles/{name}/activate", "profile_activate", "", NULL, NULL, 200, 0,
		"certificate and records; without csr the card makes a key first" },
	{ "POST", "/v1/profiles/{name}/deactivate", "profile_deactivate", "", NULL, NULL, 200, 0,
		"withdraw records, suspend the certificate" },
	{ "POST", "/v1/profiles/{name}/transfer", "profile_transfer", "", NULL, NULL, 200, 0,
		"take a profile over with its authorization code" },
	{ "POST", "/v1/profiles/{name}/auth", "profile_set_auth", "", NULL, NULL, 200, 0,
		"make an authorization code; shown once" },
	{ "POST", "/v1/profiles/{name}/renew", "profile_renew", "", NULL, NULL, 200, 0,
		"a new certificate for the same key before the old one ends" },
	{ "POST", "/v1/profiles/{name}/rebind", "profile_rebind", "", NULL, NULL, 200, 0,
		"to another service of the same sponsor" },
	{ "POST", "/v1/profiles/{name}/move", "transfer_move", "", NULL, NULL, 200, 0,
		"a transfer that the losing side answers: request, query, cancel, approve, "
		"reject" },
	{ "POST", "/v1/maintenance", "maintenance_create", "maintenance", NULL, "id,created", 201,
		0, "announce maintenance to every party" },
	{ "GET", "/v1/maintenance", "maintenance_info", NULL, NULL, NULL, 200, 0,
		"what is announced and not over" },
	{ "GET", "/v1/maintenance/{id}", "maintenance_info", NULL, NULL, NULL, 200, 0,
		"one of them" },
	{ "POST", "/v1/check", "check", "", NULL, NULL, 200, 0, "which names are free" },

	{ "GET", "/v1/jobs", "job_wait", NULL, "wait,limit", NULL, 200, 0,
		"jobs for the operator's gateway (long poll)" },
	{ "GET", "/v1/jobs/{id}", "job_info", NULL, NULL, NULL, 200, 0, "one job" },
	{ "POST", "/v1/jobs/{id}/result", "job_result", "", NULL, NULL, 200, 0,
		"what the card answered" },

	{ "GET", "/v1/poll", "poll_request", NULL, "wait", NULL, 200, 0,
		"the oldest message (long poll)" },
	{ "DELETE", "/v1/poll/{id}", "poll_ack", NULL, NULL, NULL, 200, 0, "a message was read" },

	{ "GET", "/v1/ca", "ca_info", NULL, NULL, NULL, 200, 0,
		"certificates, trust anchors, resolvers" },
	{ "GET", "/v1/health", "health", NULL, NULL, NULL, 200, 0, "sequence, serial, counts" },
	{ "GET", "/v1/audit", "audit_list", NULL, "after,limit", NULL, 200, 0,
		"the hash-chained audit" },
};
const size_t api_route_count = ARRAY_LEN(api_routes);
