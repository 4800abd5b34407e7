"""Hand the pages of the repository to MkDocs, which looks for pages in one folder only."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pages import ROOT, linked_files, navigation, pages, references, search_paths, without_folders


@event_priority(100)  # before mkdocstrings reads its options
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the navigation, what `mkdocs serve` watches, and the folders in which the packages are."""
    config.nav = navigation()
    config.watch = [str(ROOT / path) for path in pages()]
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [str(ROOT / path) for path in search_paths()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what MkDocs found in its folder by every page and linked file, each at its path in the repository."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    own = [File.generated(config, path, abs_src_path=str(ROOT / path)) for path in [*pages(), *linked_files()]]
    reference = [File.generated(config, path, content=text) for path, text in references()]
    return Files([*theme, *own, *reference])


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point links to folders at their pages."""
    return without_folders(markdown, page.file.src_uri)
