/* SPDX-License-Identifier: BSD-2-Clause */
/* config.h: the configuration value.
 *
 * The text of sluice.conf is read once, by the parent, into a `struct config`: one flat block of
 * plain structs, without a pointer, checked completely. It never changes afterwards; the parent
 * seals it in a memfd and each child maps the same pages read-only. Whoever holds it may keep
 * const pointers into it until config_free().
 *
 * An array's elements refer to each other by index. Strings are NUL-terminated and bounded.
 */
#ifndef SLUICE_BASE_CONFIG_H
#define SLUICE_BASE_CONFIG_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_DEFAULT_PATH "/etc/sluice/sluice.conf"

/* Limits: what a file may hold. */
enum {
	NAME_SIZE = 64, /* bytes of a name, NUL included */
	CONFIG_PATH_SIZE = 256,
	CONFIG_INTERFACES = 8, /* of a node */
	CONFIG_NODES = 16,
	CONFIG_ADDRESSES = 64,	 /* of a VRRP instance */
	CONFIG_BACKENDS = 32000, /* of a node, over all pools */
	CONFIG_SERVICES = 16384, /* one for each port */
	CONFIG_POOLS = 1024,
	CONFIG_INSTANCES = 512,
	CONFIG_TRACKS = 64,
	CONFIG_LINKS = 4,	/* that the nodes' state is synchronised over */
	VRRP_PASSWORD_SIZE = 9, /* version 2: up to 8 bytes */
	CONFIG_PORTS = 64,	/* in one service's list */
	CONFIG_WEIGHT = 1000,	/* the greatest weight */
	PROBE_CONF_SIZE = 3072, /* a probe type's own settings */
	CONFIG_FILES = 256,	/* that others name: certificates, keys */
	CONFIG_FILE_SIZE = 256 << 10,
	CONFIG_LIST_SIZE = 1024, /* a list of strings: a command, a dialogue */
	CONFIG_HOOKS = 8,
	CONFIG_CONNECTIONS = 64 << 20, /* the greatest max_connections: what flow_limit may be */
	NAT_SOURCES = 8,	       /* of a pool */
	NAT_PORTS_LEAST = 1024,	       /* of a node */
};

/* An address of either family; IPv4 as ::ffff:a.b.c.d, so that comparing is memcmp(). */
struct addr {
	struct in6_addr in6;
};

bool addr_is_ipv4(const struct addr *addr);
int addr_parse(const char *text, struct addr *ret_addr); /* 0 or -EINVAL; no host names */
const char *addr_format(const struct addr *addr, char buf[static INET6_ADDRSTRLEN]);
/* addr_sockaddr: as a struct sockaddr_in or _in6, port in host order; returns its length. */
socklen_t addr_sockaddr(const struct addr *addr, uint16_t port, struct sockaddr_storage *ret_sa);
/* addr_from_sockaddr: the other way round; @sa: of either family. */
void addr_from_sockaddr(const struct sockaddr_storage *sa, struct addr *ret_addr,
			uint16_t *ret_port);

/* ---- what a probe type tells the reader of configurations about its own keys ---- */

enum key_type {
	KEY_STRING, /* char[size] */
	KEY_BOOL,   /* bool */
	KEY_INT,    /* int32_t, least..most */
	KEY_SECRET, /* char[size]: the first line of the file whose path is the value */
	KEY_LIST,   /* char[size]: an array of strings, each with its NUL, ended by an empty one */
};

struct config_key {
	const char *name;
	enum key_type type;
	size_t offset; /* in the type's own struct, of PROBE_CONF_SIZE bytes at most */
	size_t size;   /* of the member */
	int32_t least, most;
	bool required;
	/* NULL, or says what is wrong with the member (a static string), NULL = nothing; of strings
	 * and lists
	 */
	const char *(*check)(const char *value);
};

struct config_probe;

struct probe_schema {
	const char *name;	       /* "smtp" */
	const struct config_key *keys; /* ends with a NULL name */
	/* Defaults of the type's own struct, conf_size bytes; NULL = zeroes. */
	const void *defaults;
	size_t conf_size;
	bool can_tls;	     /* "implicit" is allowed */
	bool can_starttls;   /* "starttls" is allowed */
	bool must_tls;	     /* "implicit" is the default, and all there is */
	bool wants_starttls; /* "starttls" is the default */
	bool no_port;	     /* it asks no port: neither the pool nor the backend needs one */
	bool no_stream;	     /* not over a connection of TCP: no TLS, no PROXY header */
	/* NULL, or says what is wrong with its keys together, as config_key.check; of keys that are
	 * each right.
	 */
	const char *(*check)(const struct config_probe *probe);
};

/* ---- the value ---- */

enum config_tls { TLS_NONE, TLS_STARTTLS, TLS_IMPLICIT };

/* What a probe asks of the server's certificate, and shows of its own. */
struct config_certificate {
	bool verify;	       /* by `ca`, else by the system's authorities */
	char name[256];	       /* that it must be for; "" = the probe's sni, or none */
	uint32_t ca, own, key; /* PEM, as for config_file(); 0 = none */
	uint32_t warn_days;    /* before it expires; 0 = never */
};

enum config_proxy { PROXY_NONE, PROXY_V1, PROXY_V2 }; /* the header that a probe sends first */
enum config_via { VIA_ADDRESS, VIA_VIP }; /* whom a probe asks: the backend's own address, or ... */

struct config_probe {
	char type[16]; /* a schema's name; "none": the backends count as up */
	enum config_tls tls;
	struct config_certificate certificate;
	enum config_proxy proxy;
	enum config_via via;
	uint16_t port;		   /* 0: the backend's */
	uint32_t interval_ms;	   /* between the starts of two probes: 100 .. 3,600,000 */
	uint32_t interval_down_ms; /* while it is not up */
	/* after a result that may turn its state, until that is sure: of one that is not up, and of
	 * one that is
	 */
	uint32_t interval_rising_ms, interval_falling_ms;
	uint32_t timeout_ms; /* for the whole conversation */
	uint32_t slow_ms;    /* a median above this is slow; 0 = nothing is */
	uint8_t rise, fall;  /* agreeing results that turn the state: 1 .. 100 */
	uint16_t command_at; /* where in conf its "command" is, as KEY_LIST; 0 = it has none */
	uint8_t flap_limit;  /* turns within flap_period_ms that hold it down; 0 = never */
	uint32_t flap_period_ms, flap_hold_ms;
	_Alignas(8) uint8_t conf[PROBE_CONF_SIZE]; /* the type's own struct */
};

struct config_vip { /* an address and its prefix, or a prefix alone */
	struct addr addr;
	uint8_t prefix_len; /* of its family: up to 32, or 128 */
	uint8_t pad[3];	    /* zero: nodes compare the bytes of their configurations */
};

enum config_mode { MODE_DSR, MODE_TUNNEL, MODE_NAT, MODE_FULLNAT }; /* forward mode */
#define CONFIG_MODE_NAMES                                                                          \
	{                                                                                          \
		"dsr", "tunnel", "nat", "fullnat", NULL                                            \
	}

enum config_tunnel_type { TUNNEL_IPIP, TUNNEL_GUE };

struct config_tunnel { /* mode tunnel only */
	enum config_tunnel_type type;
	uint16_t port; /* gue: the outer UDP destination */
	uint16_t mtu;  /* of the path to the backends: 576 .. 9000, over IPv6 from 1280 */
	bool clamp_mss;
	/* Where outer source addresses are taken from: [0] IPv4, [1] IPv6; prefix_len 0 = none:
	 * the node's own address. Bits beyond the prefix are zero.
	 */
	struct config_vip sources[2];
};

enum config_syn_cookies { SYN_COOKIES_NEVER, SYN_COOKIES_AUTO, SYN_COOKIES_ALWAYS };

/* What a pool does with fewer than min_backends: its backups come in as well; all its backends are
 * used, whatever their probes say; nobody takes new connections.
 */
enum config_below_min { BELOW_MIN_BACKUP, BELOW_MIN_ALL, BELOW_MIN_REJECT };

enum config_on_down { ON_DOWN_RESET, ON_DOWN_KEEP }; /* of a backend's established flows */

/* A program of the operator's. */
struct config_command {
	char words[CONFIG_LIST_SIZE]; /* as KEY_LIST; "" = none. The first is an absolute path. */
	uint32_t timeout_ms;
};

struct config_heal { /* what is run once when a backend was down for a time */
	struct config_command command;
	uint32_t after_ms, again_ms; /* down for so long; the first wait until it is run again */
};

/* Where there is nobody to take a new connection. */
enum config_no_backend { NO_BACKEND_DROP, NO_BACKEND_REJECT };

struct config_hook { /* told of each change: a program, or an URL to be POSTed to */
	struct config_command command;
	char url[CONFIG_PATH_SIZE];
};

struct config_pool {
	char name[NAME_SIZE];
	enum config_mode mode;
	uint32_t idle_timeout_s; /* a flow silent for longer is forgotten: 60 .. 86,400 */
	struct config_tunnel tunnel;
	bool proxy_v2;		/* fullnat: a PROXY protocol header before the first byte */
	uint32_t n_nat_sources; /* fullnat; 0 = the service's VIP */
	struct addr nat_sources[NAT_SOURCES];
	enum config_syn_cookies syn_cookies; /* nat and fullnat */
	uint32_t syn_rate; /* auto: SYNs a second and service above which cookies are used */
	uint8_t persist_bits4, persist_bits6; /* of the client's address; 0 = no persistence */
	bool feedback;			      /* even out live connections */
	enum config_below_min below_min;
	enum config_on_down on_down;
	uint32_t min_backends;
	uint32_t slow_start_ms; /* 0 = none */
	uint32_t first_backend; /* its backends are config_backend(c, first .. first + n - 1) */
	uint32_t n_backends;
	uint32_t panic_percent; /* fewer up than that: the probes are wrong; 0 = never */
	int32_t backup_pool;	/* index; used when nobody here takes connections; -1 = none */
	enum config_no_backend no_backend;
	struct config_heal heal;
	struct config_probe probe;
	struct config_probe agent; /* type "": there is none */
};

struct config_backend {
	char name[NAME_SIZE]; /* unique in its pool; the same server may be in several pools */
	uint32_t pool;
	struct addr addr;
	/* What the probe asks. dsr, tunnel: also the service's. nat, fullnat: where packets go; 0 =
	 * the service's.
	 */
	uint16_t port;
	uint16_t weight;	  /* share; 0 .. CONFIG_WEIGHT, 0 = no new flows */
	bool backup;		  /* takes new flows only when too few others do */
	uint32_t max_connections; /* 0 = no limit */
};

struct config_service {
	char name[NAME_SIZE]; /* of the group of ports; unique together with the port */
	struct addr vip;
	uint16_t port;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	uint32_t pool;
	/* That the packets of a probe through this VIP and port have; no other service has it. 0:
	 * its backends are not probed so.
	 */
	uint32_t mark;
};

enum config_checksum { CHECKSUM_RFC9568, CHECKSUM_RFC5798 }; /* of v3 over IPv4, when sending */
/* Whose adverts are believed: anybody's, as the RFC has it; who knows the password of version 2;
 * the other nodes' own, that come over the links of "sync".
 */
enum config_authentication { AUTHENTICATION_NONE, AUTHENTICATION_PASSWORD, AUTHENTICATION_SYNC };

/* When an active node tells the link where its addresses are (gratuitous ARP, unsolicited NA). */
struct config_garp {
	uint32_t count;	     /* so many times after it became active; 1 .. 60 */
	uint32_t delay_ms;   /* between these: the first pause; each is longer by that */
	uint32_t refresh_ms; /* and again as long as it is active; 0 = never */
	uint32_t pace_us;    /* between two frames; 0 = all at once */
};

struct config_instance {
	char name[NAME_SIZE];
	char group[NAME_SIZE];	  /* instances of a group change roles together; "" = none */
	char interface[IFNAMSIZ]; /* of this node */
	uint8_t vrid;		  /* 1 .. 255 */
	uint8_t version;	  /* 2 (RFC 3768; IPv4) or 3 (RFC 9568) */
	bool ipv6;
	uint8_t priority; /* of this node: 1 .. 254; 255 = it owns the addresses */
	bool preempt;
	bool accept;	    /* what is sent to the addresses themselves is for this node */
	bool virtual_mac;   /* RFC 9568 7.3, on a macvlan; else the interface's own */
	uint16_t advert_cs; /* 1 .. 4095 centiseconds; version 2: whole seconds */
	uint32_t preempt_delay_ms;
	enum config_checksum checksum;
	enum config_authentication authentication;
	char password[VRRP_PASSWORD_SIZE];
	struct config_garp garp;
	bool unicast;	    /* adverts go to each of peers, from source */
	struct addr source; /* unicast only */
	uint32_t n_peers;
	struct addr peers[CONFIG_NODES - 1];
	uint32_t n_addresses;
	struct config_vip addresses[CONFIG_ADDRESSES]; /* all of one family */
};

/* What lowers the priority of instances, or takes them out, while it fails. */
enum config_track_type { TRACK_INTERFACE, TRACK_ROUTE, TRACK_SCRIPT, TRACK_POOL, TRACK_PLANE };
#define CONFIG_TRACK_NAMES                                                                         \
	{                                                                                          \
		"interface", "route", "script", "pool", "plane", NULL                              \
	}

struct config_track {
	char name[NAME_SIZE];
	enum config_track_type type;
	char interface[IFNAMSIZ]; /* interface: is up, with a carrier */
	struct config_vip route;  /* route: is there, in the main table */
	uint32_t pool;		  /* pool: index; at least so many percent of it are up */
	uint32_t least_percent;
	bool fewer;		       /* nor fewer than a partner sees */
	struct config_command command; /* script: exits with 0 */
	uint32_t interval_ms;	       /* script */
	uint8_t rise, fall;	       /* script: agreeing results that turn it */
	uint8_t weight;		       /* is taken off the priority; 0: the instance is out */
	uint64_t instances[CONFIG_INSTANCES / 64]; /* bit i: of config_instance(c, i) */
};

/* A link between the nodes: where each of them is reached. */
struct config_link {
	char interface[IFNAMSIZ];	     /* of this node */
	struct addr addresses[CONFIG_NODES]; /* of each node, as in config.nodes */
};

struct config_sync { /* what the nodes tell each other; n_links 0 = nothing */
	uint32_t n_links;
	struct config_link links[CONFIG_LINKS];
	uint16_t port;		 /* UDP: state; heartbeats use the next one */
	uint32_t heartbeat_ms;	 /* between two questions whether the partner lives */
	uint32_t dead_after_ms;	 /* no answer for so long, on no link: it is dead */
	uint32_t rate_packets_s; /* at most, to each node */
};

/* A VIP is announced while a service on it has a backend; or while all of them have. */
enum config_announce_when { ANNOUNCE_ANY, ANNOUNCE_ALL };

struct config_announce { /* VIPs as routes of the kernel, for a routing daemon to tell */
	bool on;
	enum config_announce_when when;
	uint8_t protocol; /* of the routes: which are ours */
	uint32_t table;
	uint32_t metric; /* 0 = the kernel's default */
};

enum config_on_stop { ON_STOP_KEEP, ON_STOP_DETACH };
/* To a VIP, where no service listens: up to the kernel; RST or ICMP; nothing. */
enum config_no_service { NO_SERVICE_PASS, NO_SERVICE_REJECT, NO_SERVICE_DROP };

struct config_node {
	char name[NAME_SIZE];
	uint32_t n_interfaces;
	char interfaces[CONFIG_INTERFACES][IFNAMSIZ];
};

struct config {
	uint32_t size_bytes; /* of the whole block */
	uint32_t n_nodes;    /* in the file: how many share it */
	char path[CONFIG_PATH_SIZE];
	char secret_file[CONFIG_PATH_SIZE];
	struct config_node node;	     /* this one */
	uint32_t node_index;		     /* of this one in nodes */
	char nodes[CONFIG_NODES][NAME_SIZE]; /* n_nodes of them, as in the file */
	struct config_sync sync;
	struct config_announce announce;
	enum config_on_stop on_stop;
	enum config_no_service no_service;
	uint16_t nat_port_first, nat_port_last; /* this node's, for fullnat's source ports */
	uint32_t slots;				/* of every table; a prime */
	uint32_t flow_limit;			/* entries of the flow table: 1,024 .. 64 Mi */
	char user[32];				/* that the health checks run as */
	char programs_user[32];			/* that the operator's programs run as */
	uint32_t n_hooks;
	struct config_hook hooks[CONFIG_HOOKS];
	uint32_t n_files, files_at; /* struct config_file */
	uint32_t n_instances, n_tracks, n_pools, n_backends, n_services;
	uint32_t instances_at, tracks_at, pools_at, backends_at, services_at; /* offsets in bytes */
	uint32_t by_name_at; /* uint32_t: the backends, each pool's ordered by name */
};

const struct config_instance *config_instance(const struct config *c, uint32_t i);
const struct config_track *config_track(const struct config *c, uint32_t i);
const struct config_pool *config_pool(const struct config *c, uint32_t i);
const struct config_backend *config_backend(const struct config *c, uint32_t i);
const struct config_service *config_service(const struct config *c, uint32_t i);

struct config_file { /* what was in a file when the configuration was read */
	uint32_t at, size_bytes;
};
/* config_file: @file: 1 .. n_files, 0 = none: NULL. Not NUL-terminated. */
const char *config_file(const struct config *c, uint32_t file, size_t *ret_size_bytes);

/* config_probe_command: the program that a probe runs, as config_command.words; NULL = none. It is
 * what a type's key "command" of KEY_LIST holds.
 */
const char *config_probe_command(const struct config_probe *probe);

/* config_hook_name: what is run, for people: of an URL the host only, as its path and query are
 * often a secret (a token, a chat's room).
 */
void config_hook_name(const struct config_hook *hook, char ret[static CONFIG_PATH_SIZE]);
/* config_find_pool, config_find_backend: by name; the index, or -ENOENT. */
int config_find_pool(const struct config *c, const char *name);
int config_find_backend(const struct config *c, uint32_t pool, const char *name);

/* config_load: read, check and build.
 * @path: the file; its `@include`s are relative to its folder
 * @node: this node's name; NULL = the host's name, up to its first dot
 * @schemas: the probe types, ending with NULL
 * @errors: gets a line `FILE:LINE: what is wrong; what is expected` for each mistake, all of them
 *
 * Returns 0, -EINVAL when at least one line was written, or -ENOMEM. The caller frees *ret_config.
 */
int config_load(const char *path, const char *node, const struct probe_schema *const *schemas,
		FILE *errors, struct config **ret_config);
void config_free(struct config *c);

/* config_seal: a memfd with the block, sealed against every change; the fd or -errno. */
int config_seal(const struct config *c);
/* config_map: map what config_seal() made; takes no ownership of fd. -EPROTO when it is not one. */
int config_map(int fd, const struct config **ret_config);
void config_unmap(const struct config *c);

/* config_secret_load: the bytes of the secret file, hashed (SHA-256) to 32 bytes. Refuses a file
 * that others may read, or one of fewer than 16 bytes: -EPERM, -ERANGE; else -errno of open().
 */
int config_secret_load(const char *path, uint8_t ret_key[static 32]);

#endif
