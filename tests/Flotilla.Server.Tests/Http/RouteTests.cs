using System.Text;
using System.Text.Json;
using Flotilla.Server.Http;

namespace Flotilla.Server.Tests.Http;

public sealed class RouteTests
{
    [Theory]
    [InlineData("/nope")]
    [InlineData("/kvs/a")]
    [InlineData("/KV/a")]
    [InlineData("/status/")]
    [InlineData("/..%2fkv/a")]
    public async Task An_unknown_route_is_named_and_points_to_the_document(string path)
    {
        await using var door = await DoorFixture.StartAsync();
        var detail = (await door.GetAsync(path)).IsProblem(404, "unknown_route");
        Assert.Contains(path, detail, StringComparison.Ordinal);
        Assert.Contains("/openapi/v1.json", detail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("PATCH", "/kv/a", "GET, HEAD, PUT, POST, DELETE")]
    [InlineData("OPTIONS", "/kv/a", "GET, HEAD, PUT, POST, DELETE")]
    [InlineData("POST", "/status", "GET, HEAD")]
    [InlineData("DELETE", "/get?key=a", "GET, HEAD")]
    [InlineData("PUT", "/delete?key=a", "GET, DELETE")]
    [InlineData("HEAD", "/put?key=a&val=b", "GET, PUT, POST")]
    [InlineData("GET", "/config/mode", "PUT")]
    public async Task A_wrong_method_is_told_the_right_ones(string method, string target, string allow)
    {
        await using var door = await DoorFixture.StartAsync();
        var reply = await door.SendAsync(method, target);
        Assert.Equal((405, allow), (reply.Status, string.Join(", ", reply.Message.Content.Headers.Allow)));
        if (method != "HEAD")
        {
            reply.IsProblem(405, "method_not_allowed");
        }

        Assert.Empty(door.Gateway.Writes);
    }

    [Theory]
    [InlineData("quorum")]
    [InlineData("async")]
    public async Task A_mode_of_a_later_build_is_refused_as_such(string mode)
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Contains("raft, sync and chain", (await door.SendAsync("PUT", "/config/mode", bytes: Encoding.UTF8.GetBytes($"{{\"mode\":\"{mode}\"}}"))).IsProblem(501, "not_implemented"), StringComparison.Ordinal);
        Assert.Empty(door.Changes.Asked);
    }

    [Fact]
    public async Task The_absolute_form_of_a_target_is_understood()
    {
        await using var door = await DoorFixture.StartAsync();
        await door.PutAsync("/kv/a/../b", "v");
        var answer = await door.RawAsync("GET http://example.org/kv/a/../b?consistency=stale HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
        Assert.Contains("{\"key\":\"a/../b\",\"value\":\"v\"", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_document_and_the_routes_agree()
    {
        await using var door = await DoorFixture.StartAsync();
        var document = (await door.GetAsync("/openapi/v1.json")).Json;
        var documented = document.GetProperty("paths").EnumerateObject()
            .SelectMany(path => path.Value.EnumerateObject().Select(method => (Path: path.Name, Method: method.Name.ToUpperInvariant(), Operation: method.Value)))
            .ToList();
        var answered = Routes.All.Skip(1).SelectMany(route => route.Allow.Split(", ").Select(method => (route.Template, method)));
        Assert.Equal(answered.Order(), documented.Select(d => (d.Path, d.Method)).Order());

        await door.PutAsync("/kv/a", "v");
        foreach (var (path, method, operation) in documented)
        {
            var target = path.Replace("{key}", "a", StringComparison.Ordinal).Replace("{value}", "v", StringComparison.Ordinal).Replace("{address}", "127.0.0.1:50052", StringComparison.Ordinal).Replace("{id}", "n2", StringComparison.Ordinal);
            var query = path is "/put" ? "?key=a&val=v" : path is "/get" or "/delete" ? "?key=a" : path is "/kv" ? "?keyBase64=YQ" : "";
            var body = method == "POST" ? "{\"increment\":1}" : "{\"value\":\"v\"}";
            var reply = await door.SendAsync(method, target + query, method is "PUT" or "POST" ? body : null);
            Assert.True(reply.Status is not 404 and not 405 || reply.Bytes.Length != 0 && reply.Of("code") == "not_found" || method == "HEAD" && reply.Status == 404, $"{method} {target}{query}: {reply.Status} {reply.Text}");
            Assert.True(
                operation.GetProperty("responses").TryGetProperty(reply.Status.ToString(), out _),
                $"{method} {path} answered {reply.Status}, which the document does not list");
        }
    }

    [Fact]
    public async Task Every_error_code_stands_in_the_document_and_on_the_page()
    {
        await using var door = await DoorFixture.StartAsync();
        var document = (await door.GetAsync("/openapi/v1.json")).Json;
        var documented = document.GetProperty("components").GetProperty("schemas").GetProperty("Problem").GetProperty("properties").GetProperty("code").GetProperty("enum")
            .EnumerateArray().Select(static code => code.GetString()!);
        var codes = typeof(Problems).GetProperties().Select(static p => p.GetValue(null)).OfType<ProblemKind>().Select(static kind => kind.Code).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToArray();
        Assert.Equal(string.Join(' ', codes), string.Join(' ', documented.Order(StringComparer.Ordinal)));
        var page = await File.ReadAllTextAsync(Path.Combine(Path.GetDirectoryName(Here())!, "..", "..", "..", "docs", "http.md"), TestContext.Current.CancellationToken);
        Assert.All(codes, code => Assert.Contains($"`{code}`", page, StringComparison.Ordinal));
    }

    private static string Here([System.Runtime.CompilerServices.CallerFilePath] string here = "") => here;

    [Fact]
    public async Task Every_reference_in_the_document_leads_somewhere()
    {
        await using var door = await DoorFixture.StartAsync();
        var document = (await door.GetAsync("/openapi/v1.json")).Json;
        var ids = new List<string>();
        Walk(document);
        Assert.Equal(ids.Count, ids.Distinct(StringComparer.Ordinal).Count());

        void Walk(JsonElement element)
        {
            if (element.ValueKind == JsonValueKind.Array)
            {
                foreach (var item in element.EnumerateArray())
                {
                    Walk(item);
                }
            }
            else if (element.ValueKind == JsonValueKind.Object)
            {
                foreach (var property in element.EnumerateObject())
                {
                    if (property.Name == "operationId")
                    {
                        ids.Add(property.Value.GetString()!);
                    }

                    if (property.Name == "$ref")
                    {
                        var at = document;
                        foreach (var step in property.Value.GetString()!.Split('/')[1..])
                        {
                            Assert.True(at.TryGetProperty(step, out at), $"{property.Value} leads nowhere");
                        }
                    }

                    Walk(property.Value);
                }
            }
        }
    }
}
