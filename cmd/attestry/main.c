/* SPDX-License-Identifier: Apache-2.0 */
/* attestry: the one command for people. */
#include "cli.h"

const struct cmd *const cli_nouns[] = {
	init_cmds,
	party_cmds,
	service_cmds,
	inventory_cmds,
	bulk_cmds,
	device_cmds,
	profile_cmds,
	job_cmds,
	poll_cmds,
	epp_cmds,
	maintenance_cmds,
	registry_cmds,
	keys_cmds,
	signer_cmds,
	zone_cmds,
	offline_cmds,
	resolver_cmds,
	audit_cmds,
	payload_cmds,
	verify_cmds,
	backup_cmds,
	metrics_cmds,
	node_cmds,
	asp_cmds,
	trust_cmds,
	td_cmds,
	maker_cmds,
	counts_cmds,
	lab_cmds,
	NULL,
};

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
