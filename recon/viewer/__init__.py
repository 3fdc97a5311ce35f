"""The page that shows a scene in a browser, and the server that it comes from. Its sources lie in viewer/."""
