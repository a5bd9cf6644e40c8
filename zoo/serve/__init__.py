"""Using a model elsewhere than in Keras: runtimes, exports, and what an export must keep to."""
