"""The status page: one page that an operator keeps open.

`render` makes it, `ASSETS` are the files that it asks for, and `CONTENT_SECURITY_POLICY` is what
the browser has to be told with it. Nothing comes from anywhere else.
"""

from relay.admin.page.assets import ASSETS, CONTENT_SECURITY_POLICY
from relay.admin.page.rendering import render

__all__ = ["ASSETS", "CONTENT_SECURITY_POLICY", "render"]
