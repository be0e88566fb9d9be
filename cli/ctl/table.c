/* The two tables: commands, and options with the commands that take them. Help, completions and the
 * manual page are printed from here. */
#include "cli/ctl/commands.h"
#include "cli/ctl/options.h"

#define AT(field) offsetof(struct ctl_args, field)

/* One row, one thought. */
/* clang-format off */
const struct ctl_command ctl_commands[] = {
    {.name = "policy standardize", .words = "FILE", .words_min = 1, .words_max = 1, .run = ctl_standardize,
     .summary = "plain JSON, same length and places",
     .about = "Every byte of a comment becomes a space, a trailing comma too. Offsets, lines and columns stay what they were."},
    {.name = "policy minimize", .words = "FILE", .words_min = 1, .words_max = 1, .run = ctl_minimize,
     .summary = "without comments and white space", .about = ""},
    {.name = "policy fmt", .words = "FILE", .words_min = 1, .words_max = 1, .run = ctl_fmt,
     .options = CTL_OPT_WRITE | CTL_OPT_CHECK, .summary = "the canonical form",
     .about = "Byte for byte what the reference formatter prints. The server's ETag is the SHA-256 of this form."},
    {.name = "policy patch", .words = "FILE PATCH", .words_min = 2, .words_max = 2, .run = ctl_patch,
     .options = CTL_OPT_WRITE | CTL_OPT_FORMAT, .summary = "apply an RFC 6902 patch",
     .about = "Comments stay with what they are about. All operations are applied, or none."},
    {.name = "policy edit add-funnel", .words = "FILE", .words_min = 1, .words_max = 1, .run = ctl_edit_add_funnel,
     .options = CTL_OPT_WRITE | CTL_OPT_TARGET | CTL_OPT_COMMENT, .summary = "let --target use Funnel",
     .about = "A file in its canonical form stays in it; in any other only the new lines are put in, indented as the file is."},
    {.name = "policy edit remove-funnel", .words = "FILE", .words_min = 1, .words_max = 1, .run = ctl_edit_remove_funnel,
     .options = CTL_OPT_WRITE | CTL_OPT_TARGET, .summary = "take it away from --target",
     .about = "Other targets of the same entry keep it. An entry that does nothing more goes with its comments."},
    {.name = "policy edit add-to-group", .words = "FILE GROUP LOGIN", .words_min = 3, .words_max = 3, .run = ctl_edit_add_to_group,
     .options = CTL_OPT_WRITE, .summary = "one more member", .about = "The group is made where it is not there."},
    {.name = "policy edit tag-owners", .words = "FILE TAG [OWNER…]", .words_min = 2, .words_max = CTL_WORDS_MAX, .run = ctl_edit_tag_owners,
     .options = CTL_OPT_WRITE, .summary = "who owns the tag, exactly", .about = "The tag is declared where it is not there."},
    {.name = "policy check", .words = "FILE", .words_min = 1, .words_max = 1, .run = ctl_check,
     .options = CTL_OPT_FACTS | CTL_OPT_STRICT, .summary = "all that is wrong with it, with places",
     .about = "Parses, validates and, with --facts, runs the policy's own tests."},
    {.name = "policy eval", .words = "FILE", .words_min = 1, .words_max = 1, .run = ctl_eval,
     .options = CTL_OPT_FACTS, .summary = "what each node of --facts gets", .about = ""},
    {.name = "policy get", .words = "", .words_min = 0, .words_max = 0, .run = ctl_get,
     .options = CTL_OPT_SERVER | CTL_OPT_OUTPUT | CTL_OPT_REV, .summary = "the policy in force on a server",
     .about = "With --output its version stands beside it in FILE.etag, where set finds it."},
    {.name = "policy set", .words = "FILE", .words_min = 1, .words_max = 1, .run = ctl_set,
     .options = CTL_OPT_SERVER | CTL_OPT_SAVE, .summary = "save it there; prints its version",
     .about = "Only over the version that FILE was made from: --if-match, else FILE.etag, else the untouched default."},
    {.name = "policy test", .words = "[FILE]", .words_min = 0, .words_max = 1, .run = ctl_test,
     .options = CTL_OPT_SERVER | CTL_OPT_EFFECTS | CTL_OPT_STRICT, .summary = "judge it there; saves nothing",
     .about = "By the server's users and devices. Without FILE: the policy in force. A FILE that is an array holds tests alone."},
    {.name = "policy diff", .words = "[FILE]", .words_min = 0, .words_max = 1, .run = ctl_diff,
     .options = CTL_OPT_SERVER | CTL_OPT_EFFECTS | CTL_OPT_RANGE, .summary = "from the server's version to FILE",
     .about = "Without FILE: between two versions that the server has."},
    {.name = "policy history", .words = "", .words_min = 0, .words_max = 0, .run = ctl_history,
     .options = CTL_OPT_SERVER | CTL_OPT_LIMIT, .summary = "all versions there, newest first", .about = ""},
    {.name = "policy rollback", .words = "REV", .words_min = 1, .words_max = 1, .run = ctl_rollback,
     .options = CTL_OPT_SERVER | CTL_OPT_SAVE, .summary = "an old version becomes the newest",
     .about = "A save like any other: validated, tested, in the history."},
    {.name = "completion", .words = "bash|zsh|fish", .words_min = 1, .words_max = 1, .run = ctl_completion,
     .summary = "a completion script", .about = ""},
    {.name = "man", .words = "", .words_min = 0, .words_max = 0, .run = ctl_man,
     .summary = "the manual page: funnelctl man | man -l -", .about = ""},
};
const size_t ctl_command_count = ARRAY_LEN(ctl_commands);

const struct ctl_option ctl_options[] = {
    {"json", 0, NULL, CTL_OPT_ALL, AT(json), "one JSON object on stdout"},
    {"color", 0, "WHEN", CTL_OPT_ALL, AT(color), "auto, always or never"},
    {"help", 'h', NULL, CTL_OPT_ALL, AT(help), "this help"},
    {"version", 0, NULL, CTL_OPT_ALL, AT(version), "the version"},
    {"write", 'w', NULL, CTL_OPT_WRITE, AT(write), "put the result into FILE, not on stdout"},
    {"check", 0, NULL, CTL_OPT_CHECK, AT(check), "only show what would change; exit 1 if anything"},
    {"format", 0, NULL, CTL_OPT_FORMAT, AT(format), "format the result"},
    {"target", 0, "SELECTOR", CTL_OPT_TARGET, AT(target), "tag:x, group:x, a login, … (autogroup:member)"},
    {"comment", 0, "TEXT", CTL_OPT_COMMENT, AT(comment), "what the new entry says about itself"},
    {"facts", 0, "FILE", CTL_OPT_FACTS, AT(facts), "a tailnet as JSON: users, nodes, domains"},
    {"strict", 0, NULL, CTL_OPT_STRICT, AT(strict), "warnings fail too"},
    {"server", 0, "URL", CTL_OPT_SERVER, AT(server), "the control server (or FUNNELCTL_SERVER)"},
    {"key", 0, "file:PATH", CTL_OPT_SERVER, AT(key), "an API key (or FUNNELCTL_KEY)"},
    {"ca-file", 0, "PATH", CTL_OPT_SERVER, AT(ca_file), "a private CA (or FUNNELCTL_CA_FILE)"},
    {"if-match", 0, "ETAG", CTL_OPT_SAVE, AT(if_match), "only over this version"},
    {"force", 0, NULL, CTL_OPT_SAVE, AT(force), "over whatever is there"},
    {"message", 'm', "TEXT", CTL_OPT_SAVE, AT(message), "why; kept in the history"},
    {"output", 'o', "FILE", CTL_OPT_OUTPUT, AT(output), "into FILE, its version into FILE.etag"},
    {"rev", 0, "REV", CTL_OPT_REV, AT(rev), "an old version"},
    {"from", 0, "REV", CTL_OPT_RANGE, AT(from), "the older side (in force, or the one before)"},
    {"to", 0, "REV", CTL_OPT_RANGE, AT(to), "the newer side (in force)"},
    {"effects", 0, NULL, CTL_OPT_EFFECTS, AT(effects), "also which devices gain and lose what"},
    {"limit", 0, "N", CTL_OPT_LIMIT, AT(limit), "how many, up to 200 (50)"},
};
/* clang-format on */
const size_t ctl_option_count = ARRAY_LEN(ctl_options);
