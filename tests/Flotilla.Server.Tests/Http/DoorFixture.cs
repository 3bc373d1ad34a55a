using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Flotilla.Contracts;
using Flotilla.Server.Http;
using Flotilla.Server.Tests.Fakes;

namespace Flotilla.Server.Tests.Http;

/// <summary>A door on a free port in front of a fake gateway, and ways to talk to it: HttpClient, and raw bytes.</summary>
internal sealed class DoorFixture : IAsyncDisposable
{
    private DoorFixture(HttpDoor door, FakeGateway gateway, FakeChanges changes)
    {
        Door = door;
        Gateway = gateway;
        Changes = changes;
        Client = new HttpClient { BaseAddress = new Uri(door.Url), Timeout = TimeSpan.FromSeconds(30) };
    }

    public HttpDoor Door { get; }

    public FakeGateway Gateway { get; }

    public FakeChanges Changes { get; }

    public HttpClient Client { get; }

    public static async Task<DoorFixture> StartAsync(Func<HttpDoorOptions, HttpDoorOptions>? change = null, FakeGateway? gateway = null)
    {
        var options = new HttpDoorOptions { Listen = new HostPort("127.0.0.1", 0), Version = "1.2.3" };
        gateway ??= new FakeGateway();
        var changes = new FakeChanges();
        var door = HttpDoor.Build(change?.Invoke(options) ?? options, gateway, changes: changes);
        await door.StartAsync(TestContext.Current.CancellationToken);
        return new DoorFixture(door, gateway, changes);
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Door.DisposeAsync();
    }

    /// <summary>Sends a request and reads the answer whole. The body goes as JSON unless a type is given.</summary>
    public async Task<Reply> SendAsync(string method, string target, string? json = null, byte[]? bytes = null, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri(Door.Url + target, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));
        if (json is not null)
        {
            request.Content = new StringContent(json, Encoding.UTF8, "application/json");
        }
        else if (bytes is not null)
        {
            request.Content = new ByteArrayContent(bytes);
            request.Content.Headers.ContentType = new("application/octet-stream");
        }

        foreach (var (name, value) in headers)
        {
            if (!request.Headers.TryAddWithoutValidation(name, value))
            {
                request.Content!.Headers.TryAddWithoutValidation(name, value);
            }
        }

        using var response = await Client.SendAsync(request, TestContext.Current.CancellationToken);
        return await Reply.ReadAsync(response);
    }

    public Task<Reply> GetAsync(string target, params (string Name, string Value)[] headers) => SendAsync("GET", target, headers: headers);

    public Task<Reply> PutAsync(string target, string value, params (string Name, string Value)[] headers) =>
        SendAsync("PUT", target, JsonSerializer.Serialize(new { value }), headers: headers);

    /// <summary>Sends bytes on a connection of their own, and reads until the server closes or <paramref name="until"/> has come.</summary>
    public async Task<string> RawAsync(string request, string? until = null)
    {
        using var client = await ConnectAsync();
        await client.GetStream().WriteAsync(Encoding.Latin1.GetBytes(request), TestContext.Current.CancellationToken);
        return await ReadAsync(client, until);
    }

    public async Task<TcpClient> ConnectAsync()
    {
        var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, Door.Addresses[0].Port, TestContext.Current.CancellationToken);
        return client;
    }

    public static async Task<string> ReadAsync(TcpClient client, string? until = null)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        deadline.CancelAfter(TimeSpan.FromSeconds(20));
        var text = new StringBuilder();
        var buffer = new byte[16 << 10];
        while (until is null || !text.ToString().Contains(until, StringComparison.Ordinal))
        {
            int read;
            try
            {
                read = await client.GetStream().ReadAsync(buffer, deadline.Token);
            }
            catch (IOException)
            {
                break;
            }

            if (read == 0)
            {
                break;
            }

            text.Append(Encoding.Latin1.GetString(buffer, 0, read));
        }

        return text.ToString();
    }
}

/// <summary>An answer, read whole.</summary>
internal sealed record Reply(int Status, string? Type, byte[] Bytes, HttpResponseMessage Message)
{
    public string Text => Encoding.UTF8.GetString(Bytes);

    public JsonElement Json => JsonDocument.Parse(Bytes).RootElement;

    public string? ETag => Message.Headers.TryGetValues("ETag", out var values) ? values.Single() : null;

    public static async Task<Reply> ReadAsync(HttpResponseMessage response) =>
        new((int)response.StatusCode, response.Content.Headers.ContentType?.MediaType, await response.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken), response);

    public string? Of(string property) => Json.TryGetProperty(property, out var value) ? value.ToString() : null;

    /// <summary>Asserts that this is a problem with a code, and returns its detail.</summary>
    public string IsProblem(int status, string code)
    {
        Assert.Equal((status, "application/problem+json", code), (Status, Type, Of("code")));
        Assert.Equal(status, Json.GetProperty("status").GetInt32());
        Assert.Equal("urn:flotilla:problem:" + code, Of("type"));
        Assert.False(string.IsNullOrEmpty(Of("title")));
        return Of("detail")!;
    }
}
