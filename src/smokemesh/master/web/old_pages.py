"""Where SmokePing's pages usually are mounted: bookmarks of them lead to the page here that shows the same.

Slaves are not answered here: theirs is the route of `master.slave_api`.
"""

from typing import Any, Final

from litestar import Request, Router, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.response import Redirect

from smokemesh.master.web.old_urls import old_url, parameters

#: Paths of Debian's, the manual's and older installations.
MOUNTS: Final = (
    "/smokeping", "/smokeping.fcgi", "/smokeping/sm.cgi", "/smokeping/smokeping.cgi", "/smokeping/smokeping.fcgi",
    "/cgi-bin/smokeping.cgi", "/cgi-bin/smokeping.fcgi",
)  # fmt: skip
#: Bytes of a query that are read.
_MOST_QUERY: Final = 10_000


def routes(slaves: str) -> list[Router]:
    """The mounts, without the path at which slaves are served."""
    paths = [path for path in MOUNTS if path != slaves.rstrip("/")]

    @get(paths, sync_to_thread=False, include_in_schema=False)
    def get_old_page(request: Request[Any, Any, State]) -> Redirect:
        """The page here for an address of SmokePing's."""
        query = request.scope["query_string"][:_MOST_QUERY].decode("latin-1")
        asked = parameters(query)
        if "slave" in asked:
            raise NotFoundException(f"{request.url.path}: slaves are served at {slaves}")
        return Redirect(old_url(asked), status_code=302)

    return [Router(path="/", route_handlers=[get_old_page])]
