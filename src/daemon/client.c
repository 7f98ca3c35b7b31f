/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VMM must be told to use a target. */
#include "daemon/client.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/*
 * How many queues and entries are suggested, where there may be so many.  A VMM
 * wants no more queues than the guest has CPUs, which we do not know.
 */
#define QUEUES	   4
#define QUEUE_SIZE 256

/* What Firecracker and User-mode Linux always have. */
#define FIRECRACKER_SIZE 256
#define UML_SIZE_MAX	 256

/* Text that may need quotes, as several languages want them */

/* Writes @c once more, or an escape for it, if it is one of @special. */
static void put_char(FILE *f, char c, const char *special, const char *escape)
{
	if (strchr(special, c))
		fputs(escape, f);
	fputc(c, f);
}

/* A path in QEMU's lists: commas are doubled. */
static void put_qemu(FILE *f, const char *text)
{
	for (; *text; text++)
		put_char(f, *text, ",", ",");
}

/* A value in the lists of Cloud Hypervisor and crosvm: quoted if need be. */
static void put_list_value(FILE *f, const char *text)
{
	bool quoted = strpbrk(text, ",=[]\" ");

	if (quoted)
		fputc('"', f);
	for (; *text; text++)
		put_char(f, *text, "\"\\", "\\");
	if (quoted)
		fputc('"', f);
}

static void put_json(FILE *f, const char *text)
{
	fputc('"', f);
	for (; *text; text++)
		put_char(f, *text, "\"\\", "\\");
	fputc('"', f);
}

static void put_xml(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			fputs("&amp;", f);
		else if (*text == '<')
			fputs("&lt;", f);
		else if (*text == '\'')
			fputs("&apos;", f);
		else
			fputc(*text, f);
	}
}

static bool is_plain(const char *text)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) &&
		    !strchr("_-./,:=+@%", *text))
			return false;
	return true;
}

/* A word of the shell, which is taken over; quoted if need be. */
static void put_word(FILE *f, char *text)
{
	if (!text) {
		/* The stream fails as a whole. */
		fputs("?", f);
	} else if (is_plain(text)) {
		fputs(text, f);
	} else {
		fputc('\'', f);
		for (const char *p = text; *p; p++) {
			if (*p == '\'')
				fputs("'\\'", f);
			fputc(*p, f);
		}
		fputc('\'', f);
	}
	free(text);
}

/* Words of the shell that are made of parts: begin one, then end it. */
struct word {
	FILE *f;
	char *text;
	size_t len;
};

static FILE *begin_word(struct word *w)
{
	w->text = NULL;
	w->f = open_memstream(&w->text, &w->len);
	return w->f;
}

static void end_word(FILE *f, struct word *w)
{
	fclose(w->f);
	put_word(f, w->text);
}

/* Names */

/* IDs begin with a letter, which a target's name need not. */
static void put_id(FILE *f, const struct client_facts *c)
{
	fprintf(f, "vringd-%s", c->name);
}

/* Firecracker wants letters, digits and underscores. */
static void put_drive_id(FILE *f, const struct client_facts *c)
{
	for (const char *p = c->name; *p; p++)
		fputc(isalnum((unsigned char)*p) ? *p : '_', f);
}

static unsigned queues(const struct client_facts *c)
{
	return MIN(c->queues, (unsigned)QUEUES);
}

static unsigned queue_size(const struct client_facts *c)
{
	return MIN(c->queue_size, (unsigned)QUEUE_SIZE);
}

/* What all of them are told; @mark begins a comment */

static void put_limits(FILE *f, const struct client_facts *c, const char *mark)
{
	fprintf(f,
		"%sAt most %u queues, one for each CPU of the guest is best, "
		"of "
		"%u entries.\n",
		mark, c->queues, c->queue_size);
}

static void put_guest_view(FILE *f, const struct client_facts *c,
			   const char *mark)
{
	fprintf(f, "%sThe guest sees the serial number %s%s.\n", mark,
		c->serial,
		c->read_only ? ", and that the disk is read-only" : "");
}

/* One function for each VMM */

static void put_qemu_text(FILE *f, const struct client_facts *c)
{
	struct word w;

	fprintf(f,
		"# QEMU: add this to its command line.  Guest memory must be "
		"shared; give all of\n"
		"# it as size, as with -m.\n");
	put_limits(f, c, "# ");
	put_guest_view(f, c, "# ");
	fprintf(f, "# QEMU 9.2 and later: reconnect-ms=1000 instead of "
		   "reconnect=1.\n"
		   "-m 4G \\\n"
		   "-object memory-backend-memfd,id=mem,size=4G,share=on \\\n"
		   "-machine memory-backend=mem \\\n"
		   "-chardev ");
	if (!begin_word(&w))
		return;
	fprintf(w.f, "socket,id=");
	put_id(w.f, c);
	fprintf(w.f, ",path=");
	put_qemu(w.f, c->socket);
	fprintf(w.f, ",reconnect=1");
	end_word(f, &w);
	fprintf(f, " \\\n-device vhost-user-blk-pci,chardev=");
	put_id(f, c);
	fprintf(f, ",num-queues=%u,queue-size=%u%s\n", queues(c), queue_size(c),
		c->packed ? ",packed=on" : "");
}

/* Two hyphens would end the comment. */
static void put_apparmor(FILE *f, const struct client_facts *c)
{
	fprintf(f,
		"<!-- Where AppArmor confines QEMU, as on Debian and Ubuntu, "
		"this line must be in\n"
		"     /etc/apparmor.d/local/abstractions/libvirt-qemu:\n"
		"       \"%s\" rw,\n"
		"-->\n",
		strstr(c->socket, "--") ? "(the path above)" : c->socket);
}

static void put_libvirt_text(FILE *f, const struct client_facts *c)
{
	fprintf(f,
		"<!-- libvirt 7.1 or later.  Into <domain>: -->\n"
		"<memoryBacking>\n"
		"  <source type='memfd'/>\n"
		"  <access mode='shared'/>\n"
		"</memoryBacking>\n"
		"<!-- Into <devices>; <readonly/> and <serial> are not allowed "
		"for such a disk. -->\n");
	fprintf(f, "<!-- ");
	put_limits(f, c, "");
	fprintf(f, "     ");
	put_guest_view(f, c, "");
	fprintf(f,
		"-->\n"
		"<disk type='vhostuser' device='disk'>\n"
		"  <driver name='qemu' type='raw' queues='%u' "
		"queue_size='%u'%s/>\n"
		"  <source type='unix' path='",
		queues(c), queue_size(c), c->packed ? " packed='on'" : "");
	put_xml(f, c->socket);
	fprintf(f, "'>\n"
		   "    <reconnect enabled='yes' timeout='1'/>\n"
		   "  </source>\n"
		   "  <target dev='vda' bus='virtio'/>\n"
		   "</disk>\n");
	put_apparmor(f, c);
}

static void put_cloud_hypervisor_text(FILE *f, const struct client_facts *c)
{
	struct word w;

	fprintf(f, "# Cloud Hypervisor: add this to its command line.  Memory "
		   "must be shared, and\n"
		   "# there may be no more queues than CPUs.  It reconnects by "
		   "itself.\n");
	put_limits(f, c, "# ");
	put_guest_view(f, c, "# ");
	fprintf(f, "--cpus boot=%u \\\n--memory size=4G,shared=on \\\n--disk ",
		queues(c));
	if (!begin_word(&w))
		return;
	fprintf(w.f, "vhost_user=true,socket=");
	put_list_value(w.f, c->socket);
	fprintf(w.f, ",num_queues=%u,queue_size=%u", queues(c), queue_size(c));
	end_word(f, &w);
	fputc('\n', f);
}

static void put_firecracker_text(FILE *f, const struct client_facts *c)
{
	struct word w;

	fprintf(f,
		"# Firecracker: before the guest starts, with the path of its "
		"API socket.  It has\n"
		"# one queue of %u entries, and never reconnects.  In a jail "
		"the socket must be\n# there too.\n",
		FIRECRACKER_SIZE);
	if (c->queue_size < FIRECRACKER_SIZE)
		fprintf(f,
			"# This target has %u entries only: set its queue-size "
			"to %u first.\n",
			c->queue_size, FIRECRACKER_SIZE);
	put_guest_view(f, c, "# ");
	fprintf(f, "curl --unix-socket /run/firecracker.socket -X PUT \\\n"
		   "\t-H 'Content-Type: application/json' \\\n"
		   "\t-d ");
	if (!begin_word(&w))
		return;
	fprintf(w.f, "{\"drive_id\": \"");
	put_drive_id(w.f, c);
	fprintf(w.f, "\", \"socket\": ");
	put_json(w.f, c->socket);
	fprintf(w.f, ", \"is_root_device\": false, "
		     "\"cache_type\": \"Writeback\"}");
	end_word(f, &w);
	fprintf(f, " \\\n\thttp://localhost/drives/");
	put_drive_id(f, c);
	fputc('\n', f);
}

static void put_crosvm_text(FILE *f, const struct client_facts *c)
{
	struct word w;

	fprintf(f,
		"# crosvm: add this to crosvm run.  It takes all %u queues, "
		"and never reconnects.\n",
		c->queues);
	put_guest_view(f, c, "# ");
	fprintf(f, "--vhost-user-connect-timeout-ms 10000 \\\n--vhost-user ");
	if (!begin_word(&w))
		return;
	fprintf(w.f, "type=block,socket=");
	put_list_value(w.f, c->socket);
	fprintf(w.f, ",max-queue-size=%u", queue_size(c));
	end_word(f, &w);
	fputc('\n', f);
}

static void put_uml_text(FILE *f, const struct client_facts *c)
{
	struct word w;

	fprintf(f,
		"# User-mode Linux: add this to its command line.  It has one "
		"queue, and never\n"
		"# reconnects.\n");
	if (!c->any_memory)
		fprintf(f, "# Its memory is a file in $TMPDIR: that must be a "
			   "tmpfs, such as /dev/shm, or the\n"
			   "# target must have memory-files: any.\n");
	if (c->queue_size < UML_SIZE_MAX)
		fprintf(f, "# Its queue has %u entries.\n", c->queue_size);
	if (c->packed)
		fprintf(f, "# It hangs when packed rings are offered: set "
			   "packed of this target to off first.\n");
	put_guest_view(f, c, "# ");
	if (!begin_word(&w))
		return;
	fprintf(w.f, "virtio_uml.device=%s:2", c->socket);
	end_word(f, &w);
	fputc('\n', f);
}

static const struct {
	const char *word;
	void (*put)(FILE *f, const struct client_facts *c);
} kinds[CLIENT_NR_KINDS] = {
#define CLIENT(name, word) {word, put_##name##_text},
#include "daemon/clients.def"
#undef CLIENT
};

enum client_kind client_find(const char *word)
{
	enum client_kind k = 0;

	while (k < CLIENT_NR_KINDS && strcmp(kinds[k].word, word))
		k++;
	return k;
}

const char *client_words(void)
{
#define CLIENT(name, word) ", " word
	static const char words[] =
#include "daemon/clients.def"
		;
#undef CLIENT

	return words + 2;
}

char *client_text(const struct client_facts *f, enum client_kind kind)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	kinds[kind].put(out, f);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
