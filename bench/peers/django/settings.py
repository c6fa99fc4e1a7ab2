"""Django's settings: the ORM on PostgreSQL, and nothing else of Django."""

import os
from urllib.parse import unquote, urlsplit

_url = urlsplit(os.environ["DATABASE_URL"])

DEBUG = False
SECRET_KEY = "nothing is signed here"
INSTALLED_APPS = ["auctions"]
MIDDLEWARE: list[str] = []
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(_url.path.lstrip("/")),
        "USER": unquote(_url.username or ""),
        "PASSWORD": unquote(_url.password or ""),
        "HOST": _url.hostname or "",
        "PORT": _url.port or "",
        # Each process keeps its one connection for good, and does not ask it before each use whether it still lives.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": False,
        # Prepared statements, which Django leaves off only because some connection poolers cannot do with them.
        "OPTIONS": {"server_side_binding": True, "prepare_threshold": 3},
    }
}
