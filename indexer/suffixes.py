"""Which files hold what, told by their names."""

from typing import Literal

from indexer.documents import Format

SKIPPED_FOLDERS = frozenset(
    {"node_modules", "__pycache__", "venv", "site-packages", "bower_components"}
)
"""Folders of tools: what they hold was not written by the folder's owner. Hidden ones go anyway."""


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


_IMAGES = _suffixes(
    "png jpg jpeg gif bmp tif tiff webp ico icns heic heif avif svg svgz psd ai eps raw cr2 nef xcf"
)
_SOUNDS_AND_FILMS = _suffixes(
    "mp3 wav flac ogg oga opus m4a aac wma mid midi mp4 m4v mkv webm mov avi wmv flv mpg mpeg ogv"
)
_ARCHIVES = _suffixes(
    "zip tar gz tgz bz2 tbz xz txz zst lz lz4 7z rar jar war ear whl egg deb rpm apk dmg iso img "
    "cab msi crate gem nupkg vsix"
)
_COMPILED = _suffixes(
    "pyc pyo pyd so dylib dll exe o obj a lib class wasm bin elf ko beam rlib pdb hi"
)
_DATA = _suffixes(
    "db sqlite sqlite3 mdb parquet arrow feather orc avro pkl pickle npy npz h5 hdf5 mat pt pth "
    "safetensors onnx gguf ggml tflite pb dat idx pack lock swp swo bak tmp part crdownload"
)
_FONTS_AND_KEYS = _suffixes("ttf otf woff woff2 eot p12 pfx jks keystore kdbx gpg der pem key crt")
_MADE_BY_TOOLS = _suffixes("map pid sock")

NOT_TEXT = (
    _IMAGES | _SOUNDS_AND_FILMS | _ARCHIVES | _COMPILED | _DATA | _FONTS_AND_KEYS | _MADE_BY_TOOLS
)
"""Lower-case suffixes of files that hold no text to cite, or that must not be shown (keys)."""

Parser = Format | Literal["python"]
"""Python is ``code`` that has a parser of its own."""
_FORMATS: dict[Parser, frozenset[str]] = {
    "markdown": _suffixes("md markdown mdown mkd mkdn mdx rmd qmd"),
    "rst": _suffixes("rst rest"),
    "html": _suffixes("html htm xhtml"),
    "pdf": _suffixes("pdf"),
    "docx": _suffixes("docx docm dotx"),
    "pptx": _suffixes("pptx pptm ppsx potx"),
    "xlsx": _suffixes("xlsx xlsm xltx"),
    "odt": _suffixes("odt"),
    "odp": _suffixes("odp"),
    "ods": _suffixes("ods"),
    "rtf": _suffixes("rtf"),
    "doc": _suffixes("doc"),
    "ppt": _suffixes("ppt"),
    "msg": _suffixes("msg"),
    "epub": _suffixes("epub"),
    "eml": _suffixes("eml"),
    "notebook": _suffixes("ipynb"),
    "csv": _suffixes("csv tsv"),
    "json": _suffixes("json json5 jsonc geojson"),
    "jsonl": _suffixes("jsonl ndjson"),
    "python": _suffixes("py pyi pyw"),
    "code": _suffixes(
        "c h cc cpp cxx hh hpp hxx m mm cs java kt kts scala groovy gradle js jsx mjs cjs ts tsx "
        "vue svelte go rs rb php pl pm swift dart lua r jl ex exs erl hrl hs ml mli fs fsi clj "
        "cljs cljc lisp el scm sh bash zsh fish ps1 bat cmd sql proto thrift graphql gql tf tfvars "
        "hcl nix zig nim v vhd vhdl sv sol css scss sass less cmake mk mak s asm f f90 f95 pas vb"
    ),
    "data": _suffixes("yaml yml toml ini cfg conf properties xml xsd xsl plist env log"),
}
_FORMAT_OF = {suffix: name for name, suffixes in _FORMATS.items() for suffix in suffixes}
_FORMAT_OF_NAMES: dict[str, Parser] = {
    "makefile": "code",
    "gnumakefile": "code",
    "dockerfile": "code",
    "containerfile": "code",
    "jenkinsfile": "code",
    "vagrantfile": "code",
    "cmakelists.txt": "code",
}


def format_of(name: str) -> Parser:
    """The format that a file's name promises; ``text`` where it promises none."""
    name = name.lower()
    return _FORMAT_OF_NAMES.get(name) or _FORMAT_OF.get(name[name.rfind(".") :], "text")
