-- wrk sends the body that lies in the file $BODY_FILE, as JSON.
local file = io.open(os.getenv('BODY_FILE'), 'rb')
wrk.method = 'POST'
wrk.headers['content-type'] = 'application/json'
wrk.body = file:read('*a')
file:close()
