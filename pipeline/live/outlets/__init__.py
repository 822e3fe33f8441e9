"""Where access units go beside RTSP viewers and the web page: other servers, and files.

`hub`, `publish` and `record` hold the outlets. Nothing is imported here, because the process that
publishes starts anew after each frozen server and needs little of this.
"""
