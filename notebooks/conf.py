"""The book of the series: Sphinx reads this in a copy of the folder, which `./run book` makes."""

project = "Second Look"
author = "the Second Look authors"
html_title = project
extensions = ["myst_nb", "sphinx-mathjax-offline"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # these would be loaded from the network
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_url_schemes = {"http": None, "https": None, "mailto": None, "repository": "../../{{path}}"}
suppress_warnings = ["myst.header"]

html_theme = "sphinx_book_theme"
html_theme_options = {"use_download_button": False}
html_copy_source = False
html_show_sphinx = False


def setup(app):
    app.connect("source-read", point_out_of_the_book)


def point_out_of_the_book(app, page, source):
    # Links from notebooks/ into the rest of the repository; the book lies in build/book/.
    source[0] = source[0].replace("](../", "](repository:")
