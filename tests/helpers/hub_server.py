"""A small Hugging Face Hub on 127.0.0.1: the parts of its protocol that `huggingface_hub` and `datasets` use."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_state import TOKEN, Hub, Repo

PAGE = 20

_REPO = r"/(?P<kind>datasets|models)/(?P<id>[^/]+/[^/]+)"
_ROUTES = {
    ("POST", r"/api/repos/create"): "create",
    ("POST", r"/api/validate-yaml"): "validate_yaml",
    ("GET", rf"/api{_REPO}(/revision/(?P<revision>[^/]+))?"): "info",
    ("GET", rf"/api{_REPO}/tree/(?P<revision>[^/]+)(/(?P<path>.+))?"): "tree",
    ("POST", rf"/api{_REPO}/paths-info/(?P<revision>[^/]+)"): "paths_info",
    ("POST", rf"/api{_REPO}/preupload/(?P<revision>[^/]+)"): "preupload",
    ("POST", rf"/api{_REPO}/commit/(?P<revision>[^/]+)"): "commit",
    ("POST", r"/(?P<datasets>datasets/)?(?P<id>[^/]+/[^/]+)\.git/info/lfs/objects/batch"): "batch",
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})"): "put",
    ("POST", r"/lfs-verify"): "verify",
    ("GET", r"/(?P<datasets>datasets/)?(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"): "resolve",
    ("HEAD", r"/(?P<datasets>datasets/)?(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"): "resolve",
    ("GET", r"/cdn/(?P<oid>[0-9a-f]{64})"): "cdn",
    ("HEAD", r"/cdn/(?P<oid>[0-9a-f]{64})"): "cdn",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def answer(self) -> None:
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        self.hub.requests.append((self.command, parts.path))
        if self.hub.status is not None and self.hub.downloads >= self.hub.after:
            self.body()
            return self.error(self.hub.status, "", self.hub.words)
        for (method, pattern), name in _ROUTES.items():
            if method == self.command and (found := re.fullmatch(pattern, parts.path)):
                words = {key: unquote(value) if value else value for key, value in found.groupdict().items()}
                return getattr(self, f"do_{name}")(**words)  # type: ignore[no-any-return]
        self.body()
        self.error(404, "EntryNotFound", "no such address")

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def log_message(self, *_: Any) -> None: ...

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, content: bytes, status: int = 200, **headers: Any) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def json(self, value: Any, **headers: Any) -> None:
        self.send(json.dumps(value).encode(), Content_Type="application/json", **headers)

    def error(self, status: int, code: str, message: str) -> None:
        headers = {"X_Error_Message": message} | ({"X_Error_Code": code} if code else {})
        self.send(json.dumps({"error": message}).encode(), status, Content_Type="application/json", **headers)

    @property
    def knows_user(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repo(self, kind: str, id: str, write: bool = False) -> Repo | None:
        """The repository that the user may see; else the answer is given."""
        repo = self.hub.repos.get((kind, id))
        if not self.knows_user and (write or repo is None or repo.private):
            self.error(401, "RepoNotFound" if not write else "", "Repository not found")
            return None
        if repo is None:
            self.error(404, "RepoNotFound", "Repository not found")
        elif write and id.startswith("other/"):
            self.error(403, "", "Forbidden: you must use a write token")
        else:
            return repo
        return None

    def revision(self, repo: Repo, revision: str | None) -> str | None:
        found = repo.head if revision in (None, "main") else revision
        if found in repo.commits:
            return found
        self.error(404, "RevisionNotFound", "Invalid rev id")
        return None

    def do_create(self) -> None:
        asked = json.loads(self.body())
        kind, id = f"{asked.get('type', 'model')}s", f"{asked['organization']}/{asked['name']}"
        if not self.knows_user:
            return self.error(401, "", "Invalid username or password.")
        if id.startswith("other/"):
            return self.error(403, "", "You don't have the rights to create a repository there")
        if (kind, id) in self.hub.repos:
            return self.error(409, "", "You already created this repo")
        repo = self.hub.repos[kind, id] = Repo(bool(asked.get("private")) or asked.get("visibility") == "private")
        repo.commit({".gitattributes": b"*.tar filter=lfs\n"})
        self.json({"url": f"{self.hub.url}/{'datasets/' if kind == 'datasets' else ''}{id}"})

    def do_validate_yaml(self) -> None:
        import yaml

        text = json.loads(self.body())["content"]
        head = yaml.safe_load(re.match(r"---\n(.*?)\n---", text, re.DOTALL)[1])  # type: ignore[index]
        if "license" not in head:
            return self.send(b'{"errors":[{"message":"no license"}],"warnings":[]}', 400)
        self.json({"errors": [], "warnings": []})

    def do_info(self, kind: str, id: str, revision: str | None = None) -> None:
        if (repo := self.repo(kind, id)) and (sha := self.revision(repo, revision)):
            names = [{"rfilename": name} for name in repo.commits[sha]]
            self.json({"id": id, "sha": sha, "private": repo.private, "tags": [], "siblings": names})

    def do_tree(self, kind: str, id: str, revision: str, path: str | None = None) -> None:
        if not (repo := self.repo(kind, id)) or not (sha := self.revision(repo, revision)):
            return
        start, head = int(self.query.get("cursor", ["0"])[0]), f"{path}/" if path else ""
        files = {name: content for name, content in sorted(repo.commits[sha].items()) if name.startswith(head)}
        found = [self.hub.entry(name, content) for name, content in files.items()]
        if self.query.get("recursive", ["false"])[0].lower() != "true":
            inner = {head + one["path"][len(head) :].split("/")[0] for one in found if "/" in one["path"][len(head) :]}
            found = [one for one in found if "/" not in one["path"][len(head) :]]
            found += [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in sorted(inner)]
        more = {}
        if len(found) > start + PAGE:
            address = f"{self.hub.url}{urlsplit(self.path).path}?recursive=true&cursor={start + PAGE}"
            more = {"Link": f'<{address}>; rel="next"'}
        self.json(found[start : start + PAGE], **more)

    def do_paths_info(self, kind: str, id: str, revision: str) -> None:
        asked = self.body().decode()
        paths = json.loads(asked)["paths"] if asked.startswith("{") else parse_qs(asked)["paths"]
        if (repo := self.repo(kind, id)) and (sha := self.revision(repo, revision)):
            files = repo.commits[sha]
            self.json([self.hub.entry(path, files[path]) for path in paths if path in files])

    def do_preupload(self, kind: str, id: str, revision: str) -> None:
        asked = json.loads(self.body())["files"]
        if repo := self.repo(kind, id, write=True):
            answers = []
            for one in asked:
                mode, known = "lfs" if self.hub.is_large(one["path"]) else "regular", repo.files.get(one["path"])
                entry = self.hub.entry(one["path"], known) if known is not None else {}
                oid = entry.get("lfs", entry).get("oid")
                answers.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
            self.json({"files": answers})

    def do_batch(self, datasets: str | None, id: str) -> None:
        asked = json.loads(self.body())["objects"]
        if self.repo("datasets" if datasets else "models", id, write=True) is None:
            return
        objects = []
        for one in asked:
            steps = {
                "upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"},
                "verify": {"href": f"{self.hub.url}/lfs-verify"},
            }
            objects.append({**one, **({} if one["oid"] in self.hub.blobs else {"actions": steps})})
        self.json({"transfer": "basic", "objects": objects})

    def do_put(self, oid: str) -> None:
        content, left = b"", int(self.headers["Content-Length"])
        while left and (piece := self.rfile.read1(min(left, 1 << 16))):
            content, left = content + piece, left - len(piece)
            self.hub.received[oid] = self.hub.received.get(oid, 0) + len(piece)
        if left or hashlib.sha256(content).hexdigest() != oid:
            return self.error(400, "", "another digest")
        time.sleep(self.hub.pause)
        self.hub.blobs[oid] = content
        self.send(b"", ETag=oid)

    def do_verify(self) -> None:
        asked = json.loads(self.body())
        known = self.hub.blobs.get(asked["oid"])
        if known is None or len(known) != asked["size"]:
            return self.error(404, "", "no such object")
        self.json({"message": "ok"})

    def do_commit(self, kind: str, id: str, revision: str) -> None:
        lines = [json.loads(line) for line in self.body().splitlines()]
        if not (repo := self.repo(kind, id, write=True)):
            return
        files = dict(repo.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit") not in (None, repo.head):
                return self.error(412, "", "A commit has happened since")
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            if line["key"] == "deletedFile":
                del files[value["path"]]
        oid = repo.commit(files)
        self.json({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{id}/commit/{oid}"})

    def do_resolve(self, datasets: str | None, id: str, revision: str, path: str) -> None:
        if not (repo := self.repo("datasets" if datasets else "models", id)):
            return
        if not (sha := self.revision(repo, revision)):
            return
        if path not in repo.commits[sha]:
            return self.error(404, "EntryNotFound", "Entry not found")
        content = repo.commits[sha][path]
        entry = self.hub.entry(path, content)
        if lfs := entry.get("lfs"):
            known = {"X_Linked_Etag": f'"{lfs["oid"]}"', "X_Linked_Size": str(len(content)), "X_Repo_Commit": sha}
            return self.send(b"", 302, Location=f"{self.hub.store}/cdn/{lfs['oid']}", **known)
        self.ranged(self.hub.served.get(path, content), {"ETag": f'"{entry["oid"]}"', "X_Repo_Commit": sha})

    def do_cdn(self, oid: str) -> None:
        if "Authorization" in self.headers:  # the address itself is signed
            return self.error(400, "", "only one way of naming yourself is allowed")
        content = self.hub.blobs[oid]
        self.ranged(self.hub.served.get(oid, content), {"ETag": f'"{oid}"'})

    def ranged(self, content: bytes, headers: dict[str, str]) -> None:
        """A file, or the end of it."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        if asked:
            self.hub.ranges.append(self.headers["Range"])
            headers = {**headers, "Content_Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
        rest = content[first:]
        self.send_response(206 if asked else 200)
        for name, value in {"Content_Length": str(len(rest)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.cut is not None and len(rest) > self.hub.cut:
            rest, self.hub.cut, self.close_connection = rest[: self.hub.cut], None, True
            self.hub.downloads = self.hub.after
        self.hub.downloads += 1
        self.hub.sent += len(rest)
        self.wfile.write(rest)


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub that runs until the end."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    hub.store = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
