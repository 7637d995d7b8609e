/* SPDX-License-Identifier: Apache-2.0 */
#include "role/keys_token.h"

#include <stdlib.h>
#include <unistd.h>

enum rc config_token(const struct config *conf, struct ca_keyring_token *out, struct diag *d)
{
	struct ca_keyring_token t = { .opts = { .module = conf->keys.pkcs11_module,
					      .label = conf->keys.pkcs11_token,
					      .pin_file = conf->keys.pkcs11_pin } };

	if (!conf->keys.pkcs11_module || !conf->keys.pkcs11_module[0]) {
		*out = (struct ca_keyring_token){ 0 };
		return RC_OK;
	}
	if (conf->keys.pkcs11_module[0] != '/' || !conf->keys.pkcs11_token[0])
		return diag_set(d, RC_RANGE,
			"[keys] pkcs11_module: an absolute path, and pkcs11_token the label");
	if (access(t.opts.pin_file, F_OK) != 0)
		t.opts.pin_file = NULL;
	if (conf->keys.pkcs11_config[0] &&
		setenv("SOFTHSM2_CONF", conf->keys.pkcs11_config, 1) != 0)
		return RC_NOMEM;
	t.makes[true] = conf->keys.pkcs11_keys != CONFIG_TOKEN_NONE;
	t.makes[false] = conf->keys.pkcs11_keys == CONFIG_TOKEN_BOTH;
	*out = t;
	return RC_OK;
}
