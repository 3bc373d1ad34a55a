using Flotilla.Contracts;
using Flotilla.Server.Bench;
using Flotilla.Server.Http;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

// One server for wrk to ask, see bench/http-door.sh: what the door costs beside a bare server that answers "hello".
// Usage: Flotilla.Server.Bench door|door-async|hello|hello-slim PORT
var port = int.Parse(args[1]);
switch (args[0])
{
    case "hello":
        using (var server = await HelloServer.StartAsync(port))
        {
            await Serve();
        }

        break;
    case "hello-slim":
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenLocalhost(port));
        await using (var app = builder.Build())
        {
            var body = "{\"hello\":\"world\"}"u8.ToArray();
            app.Run(context =>
            {
                context.Response.ContentType = "application/json";
                context.Response.ContentLength = body.Length;
                return context.Response.Body.WriteAsync(body).AsTask();
            });
            await app.StartAsync();
            await Serve();
        }

        break;
    default:
        await using (var door = HttpDoor.Build(new HttpDoorOptions { Listen = new HostPort("127.0.0.1", port) }, new BenchGateway(args[0] == "door-async")))
        {
            await door.StartAsync();
            await Serve();
        }

        break;
}

// Says at each line read what the process has used so far, so that a script can take differences; ends with its input.
static async Task Serve()
{
    Console.WriteLine("ready");
    while (await Console.In.ReadLineAsync() is not null)
    {
        Console.WriteLine($"{Environment.CpuUsage.TotalTime.TotalMicroseconds:F0} {GC.GetTotalAllocatedBytes()} {Environment.WorkingSet >> 20}");
    }
}
