"""The book of the series: Sphinx reads this in a copy of the folder, which `./run book` makes."""

from textwrap import shorten

from docutils import nodes

project = "Second Look"
author = "the Second Look authors"
html_title = project
extensions = ["myst_nb", "sphinx-mathjax-offline"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # so that links in outputs lead to pages too
nb_ipywidgets_js = {}  # these would be loaded from the network
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_url_schemes = {"http": None, "https": None, "mailto": None, "repository": "../../{{path}}"}
suppress_warnings = ["myst.header"]
mathjax3_config = {"options": {"enableMenu": False}}  # its entries load what the book leaves out

html_theme = "sphinx_book_theme"
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
html_static_path = ["book.css"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_sphinx = False
html_use_index = False
html_show_search_summary = False  # a browser does not let a page on a disk read the others

# Without one, a browser asks a server for it in vain.
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cg fill='none' stroke='%233f90da' stroke-width='2'%3E"
    "%3Ccircle cx='5.5' cy='8' r='4'/%3E%3Ccircle cx='10.5' cy='8' r='4'/%3E%3C/g%3E%3C/svg%3E"
)


# Where links of the notebooks lead in the book, by how they begin.
ELSEWHERE = {"../README.md": "index.md", "../": "repository:", "notebooks/": ""}

TELLING = (nodes.image, nodes.paragraph, nodes.title)


def setup(app):
    app.connect("source-read", point_out_of_the_book)
    app.connect("doctree-resolved", describe_pictures)
    app.connect("html-page-context", add_icon)


def point_out_of_the_book(app, page, source):
    # The book lies in build/book/ and has a front page of its own. What the index shows has links
    # from the repository's root.
    for here, there in ELSEWHERE.items():
        source[0] = source[0].replace(f"]({here}", f"]({there}")


def describe_pictures(app, tree, page):
    """Give every picture the sentence beneath it as its alternative text, and its full size."""
    before, untold = "", []
    for node in tree.findall(lambda node: isinstance(node, TELLING)):
        if isinstance(node, nodes.image):
            untold.append(node)
        else:
            tell(untold, in_italics(node) or before)
            before, untold = node.astext(), []
    tell(untold, before)


def in_italics(node):
    # A sentence in italics beneath a figure is its caption.
    first = node.next_node()
    return first.astext() if isinstance(first, nodes.emphasis) else ""


def tell(pictures, text):
    for number, picture in enumerate(pictures, 1):
        which = f"{number} of {len(pictures)}: " if len(pictures) > 1 else ""
        picture.setdefault("alt", which + shorten(text, 250, placeholder="…"))
        picture["scale"] = 100  # gives it its size before it is loaded, and a link to it alone


def add_icon(app, page, template, context, tree):
    context["metatags"] = context.get("metatags", "") + f'<link rel="icon" href="{ICON}" />'
