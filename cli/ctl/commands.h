#pragma once
/* What each command does, by file. An exit code of ctl.h is returned; complaints have been made. */
#include "cli/ctl/ctl.h"

/* text.c: the syntax, whatever the document means */
int ctl_standardize(struct ctl *c);

/* judge.c: what the policy means */
int ctl_check(struct ctl *c);
