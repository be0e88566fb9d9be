/* Hostile queries against a fixed zone, both transports: no reply is longer than its transport
 * takes, none lacks QR. */
#include <stdlib.h>
#include <string.h>

#include "dns/answer.h"
#include "dns/zone.h"

static struct dns_snapshot *make(void)
{
    char why[128];
    struct slice ns = S("ns1.example.org");
    struct dns_zone_opts opts = {S("ts.example.net"), &ns, 1, S("hostmaster.example.net"), 30};
    struct dns_zone *z = dns_zone_new(&opts, why, sizeof(why));
    struct addr a;
    addr_from_ip(S("198.51.100.7"), 0, &a);
    if (!z || dns_zone_set_addresses(z, S("laptop.pango.ts.example.net"), &a, 1, 60) ||
        dns_zone_add_txt(z, S("_acme-challenge.laptop.pango.ts.example.net"), S("value"), 0)) {
        abort();
    }
    struct dns_snapshot *s = dns_zone_compile(z);
    dns_zone_free(z);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_snapshot *snap;
    static uint8_t out[DNS_REPLY_MAX];
    struct dns_counters counters = {0};
    snap = snap ? snap : make();
    for (int t = DNS_UDP; t <= DNS_TCP; t++) {
        size_t n = dns_answer(snap, slice_of(data, size), (enum dns_transport)t, out, &counters);
        if ((t == DNS_UDP && n > DNS_UDP_EDNS_MAX) ||
            (n && (n < 12 || !(out[2] & 0x80) || memcmp(out, data, 2) != 0))) {
            abort();
        }
    }
    return 0;
}
