"""langxfer: multilingual adaptation of language models as recipes, plugins and cached stages."""
