import cProfile, pstats, time, json
async def test_prof(gateway):
    g=gateway
    await g.run("insert into process(reference,name) select 'r'||i, 'n'||i from generate_series(10,10009) i")
    from rest_compat import Request
    from rest_compat.processes.bodies import ProcessesBody
    from resolvers.strict_json import loads
    from resolvers.validation import validate
    d=g.services.dialects[1]
    raw=json.dumps({"processes":[{"id":i,"name":f"x{i}","comment":"c"*20} for i in range(1,10001)]}).encode()
    for _ in range(2):
        t=time.process_time(); v=loads(raw); t1=time.process_time(); m=validate(ProcessesBody,v); t2=time.process_time(); m.variables(); t3=time.process_time(); print("loads",t1-t,"validate",t2-t1,"dump",t3-t2)
    viewer=await g.viewer("admin")
    async def auth(): return viewer
    async def body(): return raw
    for i in range(6):
        p=cProfile.Profile() if i==9 else None
        t=time.process_time()
        if p: p.enable()
        r=await d.respond(Request("PUT","/processes",{},body), g.services.operations, auth)
        if p: p.disable()
        print(r, time.process_time()-t)

