"""Video files to packets, frames, cuts and sound: the only place that names PyAV, OpenCV and PySceneDetect."""
