"""The experiment: scenes, responses, methods, studies and exports, typed and checked."""
