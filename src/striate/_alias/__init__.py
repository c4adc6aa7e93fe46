"""How `import keras` is answered with striate: the names of Keras, the messages, the proxies and the import hook."""
