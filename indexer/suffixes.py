"""Which files hold what, told by their names."""

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
