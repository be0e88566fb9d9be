#pragma once
/* The console's files, and the way in: "/" leads to the console whoever may use it, everybody else
 * to the list that needs no JavaScript. */
#include "lib/http/http.h"

void page_home(void *app, struct http_rq *rq);
void page_requests(void *app, struct http_rq *rq);
void page_console(void *app, struct http_rq *rq); /* every address of the console is its index */
void page_console_asset(void *app, struct http_rq *rq); /* public: no secret is in them */
